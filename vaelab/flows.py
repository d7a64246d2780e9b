"""Inverse autoregressive flow as masked matrix products.

One step k of the flow (Kingma et al. 2016, "Improving variational inference with inverse autoregressive
flow", https://arxiv.org/abs/1606.04934, equations 13 and 14):

    m, s    = made_k(z, context)                  one masked network for all latents
    logit   = max(s + offset, LEAST_LOGIT)
    gate    = sigmoid(logit)
    z'      = gate * z + (1 - gate) * m
    log_det = sum(log_sigmoid(logit))             the Jacobian is triangular with `gate` on its diagonal
    z       = reverse(z')                         so that the next step conditions the other way round

and its way back, entry by entry, since m_i and logit_i need z_1 to z_(i-1):

    z_i     = z'_i + (z'_i - m_i) * exp(-logit_i)     because 1 / gate = 1 + exp(-logit)

`made_k` is a MADE (Germain et al. 2015, "Masked autoencoder for distribution estimation",
https://arxiv.org/abs/1502.03509): output i sees inputs 1 to i - 1 only, by masks made from integer ranks.
`forward` is one pass. `inverse` is O(latent) passes: entry i can only be computed after those before it.

The logit has a floor because a gate that rounds to zero forgets z: forward would stay finite, but its inverse
would be 0 / 0. With the floor, forward, log-dets and their gradients are finite for any logit, and inverse is the
inverse of that very map. It enlarges the rounding error of an entry 1 / gate times, 1100 at most, and hands it on
through m to later entries: the inverse of a trained flow is accurate, that of many shut gates in a row is not.
A logit at the floor passes no gradient to s, as a clipped log_std passes none. No ceiling is needed: a gate that
rounds to one is the identity.

Masks are numpy constants, variables hold `params` only, and the dtype follows the inputs.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

LEAST_LOGIT = -7.0  # of a gate, which thus is at least 0.0009


def ranks(latent_dim: int, hidden: int) -> tuple[np.ndarray, np.ndarray]:
    """Ranks of the inputs (1 to latent_dim) and of the hidden units (spread evenly over 0 to latent_dim - 1).

    A hidden unit of rank r may see the inputs 1 to r. Rank 0 sees the context alone, which is all that the
    first output may depend on, and all there is when latent_dim is 1. With fewer hidden units than latents
    some ranks have none: still autoregressive, but an output then sees a few of its nearest predecessors less.
    """
    return np.arange(1, latent_dim + 1), np.arange(hidden) * latent_dim // hidden


def mask(inputs: np.ndarray, outputs: np.ndarray, strict: bool) -> np.ndarray:
    """Mask of the inputs that each output depends on, by rank: bool (inputs, outputs).

    Args:
        inputs: Ranks (inputs,).
        outputs: Ranks (outputs,).
        strict: True lets an output see only smaller ranks, False also its own.
    """
    return inputs[:, None] < outputs[None, :] if strict else inputs[:, None] <= outputs[None, :]


class IAFStep(nn.Module):
    """One gated step of the flow, without the reversal.

    The last layer starts at zero, so m = s = 0 and z' = sigmoid(offset) * z exactly: the posterior starts as a
    plain Gaussian, a little narrower, and trains at first as steadily as one without a flow.

    Attributes:
        latent_dim: Size of z.
        context_dim: Size of the context vector.
        hidden: Hidden units of the masked network.
        offset: Added to the gate's logits; above `LEAST_LOGIT`.
    """

    latent_dim: int
    context_dim: int
    hidden: int
    offset: float = 2.0

    def setup(self):
        """Make the weights and, from ranks, their masks."""
        inputs, middle = ranks(self.latent_dim, self.hidden)
        self.mask_in = mask(inputs, middle, strict=False)
        self.mask_out = mask(middle, inputs, strict=True)
        scaled = nn.initializers.lecun_normal()
        zeros = nn.initializers.zeros_init()
        self.w_in = self.param("w_in", scaled, (self.latent_dim, self.hidden))
        self.w_context = self.param("w_context", scaled, (self.context_dim, self.hidden))
        self.b_in = self.param("b_in", zeros, (self.hidden,))
        self.w_m = self.param("w_m", zeros, (self.hidden, self.latent_dim))
        self.w_s = self.param("w_s", zeros, (self.hidden, self.latent_dim))
        self.b_m = self.param("b_m", zeros, (self.latent_dim,))
        self.b_s = self.param("b_s", zeros, (self.latent_dim,))

    def conditioner(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """The masked network: (batch, latent), (batch, context) -> m and the gate's logit, each (batch, latent)."""

        def masked(weights, allowed):
            return jnp.where(allowed, weights, 0).astype(z.dtype)

        def bias(vector):
            return vector.astype(z.dtype)[None, :]

        context = context.astype(z.dtype) @ self.w_context.astype(z.dtype)
        hidden = nn.elu(z @ masked(self.w_in, self.mask_in) + context + bias(self.b_in))
        m = hidden @ masked(self.w_m, self.mask_out) + bias(self.b_m)
        s = hidden @ masked(self.w_s, self.mask_out) + bias(self.b_s)
        return m, jnp.maximum(s + self.offset, LEAST_LOGIT)

    def forward(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z -> z' = gate * z + (1 - gate) * m, and log_det (batch,). One pass."""
        turned, log_gates = self.gated(z, context)
        return turned, log_gates.sum(axis=-1)

    def gated(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z -> z' and the logarithm of each entry's gate, both (batch, latent)."""
        m, logit = self.conditioner(z, context)
        return nn.sigmoid(logit) * z + nn.sigmoid(-logit) * m, nn.log_sigmoid(logit)

    def inverse(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z' -> z, and the log-det of this direction (batch,). O(latent) passes: entries are solved in order."""
        _ = self.w_in  # the weights must exist before the loop traces them

        def solve(i, solved):
            m, logit = self.conditioner(solved, context)
            entry = z + (z - m) * jnp.exp(-logit)
            return jnp.where(jnp.arange(self.latent_dim)[None, :] == i, entry, solved)

        solved = jax.lax.fori_loop(0, self.latent_dim, solve, jnp.zeros_like(z))
        return solved, -nn.log_sigmoid(self.conditioner(solved, context)[1]).sum(axis=-1)


class IAF(nn.Module):
    """A stack of IAF steps, the latent reversed after each; 0 steps is the identity.

    Attributes:
        latent_dim: Size of z.
        context_dim: Size of the context vector.
        steps: Number of steps K.
        hidden: Hidden units of each step's masked network.
        offset: Added to the gates' logits.
    """

    latent_dim: int
    context_dim: int
    steps: int
    hidden: int
    offset: float = 2.0

    def setup(self):
        """Make the steps."""
        sizes = (self.latent_dim, self.context_dim, self.hidden, self.offset)
        self.flow = [IAFStep(*sizes) for _ in range(self.steps)]

    def __call__(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `forward`."""
        return self.forward(z, context)

    def forward(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """z0 -> zK and sum of the steps' log_det. One pass.

        Args:
            z: (batch, latent).
            context: (batch, context).

        Returns:
            zK (batch, latent) and log |det dzK / dz0| (batch,).
        """
        z, log_gates = self.gated(z, context)
        return z, log_gates.sum(axis=-1)

    def gated(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """zK and what each of its entries adds to the log-det, both (batch, latent). One pass."""
        total = jnp.zeros_like(z)
        for step in self.flow:
            z, log_gates = step.gated(z, context)
            z, total = z[..., ::-1], (total + log_gates)[..., ::-1]
        return z, total

    def inverse(self, z: jax.Array, context: jax.Array) -> tuple[jax.Array, jax.Array]:
        """zK -> z0 and log |det dz0 / dzK|: as `forward` backwards, O(latent) passes a step.

        Args:
            z: (batch, latent).
            context: (batch, context).

        Returns:
            z0 (batch, latent) and its log-det (batch,).
        """
        log_det = jnp.zeros(z.shape[:-1], z.dtype)
        for step in reversed(self.flow):
            z, step_log_det = step.inverse(z[..., ::-1], context)
            log_det = log_det + step_log_det
        return z, log_det
