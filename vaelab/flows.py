"""Inverse autoregressive flow as masked matrix products.

One step k of the flow (Kingma et al. 2016, "Improving variational inference with inverse autoregressive
flow", https://arxiv.org/abs/1606.04934, equations 13 and 14):

    m, s    = conditioner_k(z, context)           one masked network for all latents
    logit   = max(s + offset, LEAST_LOGIT)
    gate    = sigmoid(logit)
    z'      = gate * z + (1 - gate) * m
    log_det = sum(log_sigmoid(logit))             the Jacobian is triangular with `gate` on its diagonal
    z       = reverse(z')                         so that the next step conditions the other way round

and its way back, entry by entry, since m_i and logit_i need z_1 to z_(i-1):

    z_i     = z'_i + (z'_i - m_i) * exp(-logit_i)     because 1 / gate = 1 + exp(-logit)

`conditioner_k` is a MADE (Germain et al. 2015, "Masked autoencoder for distribution estimation",
https://arxiv.org/abs/1502.03509): output i sees inputs 1 to i - 1 only, by masks made from integer ranks.
`forward` is one pass. `inverse` is O(latent) passes: entry i can only be computed after those before it.

The logit has a floor because a gate that rounds to zero forgets z: forward would stay finite, but its inverse
would be 0 / 0. With the floor, forward, log-dets and their gradients are finite for any logit, and inverse is the
inverse of that very map. The inverse multiplies the rounding error of an entry by 1 / gate, at most 1100, and m passes
it on to later entries: the inverse of a trained flow is accurate, that of many shut gates in a row is not.
A logit at the floor passes no gradient to s, as a clipped log_std passes none. No ceiling is needed: a gate that
rounds to one is the identity.

Masks are NumPy constants, variables hold `params` only, and the dtype follows z.
"""

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jax.typing import ArrayLike, DTypeLike
from jaxtyping import Array, Bool, Float, Int

LEAST_LOGIT = -7.0  # of a gate, which thus is at least 0.0009

Latents = Float[Array | np.ndarray, "batch latent"]
Contexts = Float[Array | np.ndarray, "#batch context"]
LogDets = Float[Array, " batch"]


def ranks(latent_dim: int, hidden: int) -> tuple[Int[np.ndarray, " latent"], Int[np.ndarray, " hidden"]]:
    """Ranks of the inputs (1 to latent_dim) and of the hidden units (spread evenly over 0 to latent_dim - 1).

    A hidden unit of rank r may see the inputs 1 to r. Rank 0 sees the context alone, which is all that the
    first output may depend on, and all there is when latent_dim is 1. With fewer hidden units than latents
    some ranks have no unit: the mask stays autoregressive, but an output may not depend on its nearest predecessors.
    """
    return np.arange(1, latent_dim + 1), np.arange(hidden) * latent_dim // hidden


def mask(
    inputs: Int[np.ndarray, " inputs"], outputs: Int[np.ndarray, " outputs"], strict: bool
) -> Bool[np.ndarray, "inputs outputs"]:
    """Mask of the inputs that each output depends on, by rank.

    Args:
        inputs: Ranks of the inputs.
        outputs: Ranks of the outputs.
        strict: True lets an output see only smaller ranks, False also its own.
    """
    return inputs[:, None] < outputs[None, :] if strict else inputs[:, None] <= outputs[None, :]


class IAFStep(nn.Module):
    """One gated step of the flow, without the reversal.

    Forward:            z' = gate * z + (1 - gate) * m
    Forward log-det:    sum(log(gate))
    Inverse:            z_i = z'_i + (z'_i - m_i) * exp(-logit_i), for i = 1, 2, ...
    Inverse log-det:    -sum(log(gate))

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
        input_ranks, hidden_ranks = ranks(self.latent_dim, self.hidden)
        self.mask_in = mask(input_ranks, hidden_ranks, strict=False)
        self.mask_out = mask(hidden_ranks, input_ranks, strict=True)
        scaled = nn.initializers.lecun_normal()
        zeros = nn.initializers.zeros_init()
        self.w_in = self.param("w_in", scaled, (self.latent_dim, self.hidden))
        self.w_context = self.param("w_context", scaled, (self.context_dim, self.hidden))
        self.b_in = self.param("b_in", zeros, (self.hidden,))
        self.w_m = self.param("w_m", zeros, (self.hidden, self.latent_dim))
        self.w_s = self.param("w_s", zeros, (self.hidden, self.latent_dim))
        self.b_m = self.param("b_m", zeros, (self.latent_dim,))
        self.b_s = self.param("b_s", zeros, (self.latent_dim,))

    def conditioner(self, z: Latents, context: Contexts) -> tuple[Latents, Latents]:
        """The masked network: z and context -> m and the gate's logit."""
        w_in = jnp.where(self.mask_in, self.w_in, 0)
        w_m = jnp.where(self.mask_out, self.w_m, 0)
        w_s = jnp.where(self.mask_out, self.w_s, 0)
        hidden = nn.elu(z @ w_in + context @ self.w_context + self.b_in[None])
        m = hidden @ w_m + self.b_m[None]
        s = hidden @ w_s + self.b_s[None]
        return m.astype(z.dtype), jnp.maximum(s + self.offset, LEAST_LOGIT).astype(z.dtype)

    def forward(self, z: Latents, context: Contexts) -> tuple[Latents, LogDets]:
        """z -> z' and log_det. One pass."""
        z_new, log_gates = self.forward_and_log_gates(z, context)
        return z_new, log_gates.sum(axis=-1)

    def forward_and_log_gates(self, z: Latents, context: Contexts) -> tuple[Latents, Latents]:
        """z -> z' and the logarithm of each entry's gate."""
        m, logit = self.conditioner(z, context)
        return nn.sigmoid(logit) * z + nn.sigmoid(-logit) * m, nn.log_sigmoid(logit)

    def inverse(self, z_new: Latents, context: Contexts) -> tuple[Latents, LogDets]:
        """z' -> z, and the log-det of this direction. O(latent) passes: entries are solved in order."""
        _ = self.w_in  # the weights must exist before the loop traces them

        def solve(i, z):
            m, logit = self.conditioner(z, context)
            entry = z_new + (z_new - m) * jnp.exp(-logit)
            return jnp.where(jnp.arange(self.latent_dim)[None, :] == i, entry, z)

        z = jax.lax.fori_loop(0, self.latent_dim, solve, jnp.zeros_like(z_new))
        return z, -nn.log_sigmoid(self.conditioner(z, context)[1]).sum(axis=-1)


class IAF(nn.Module):
    """A stack of IAF steps, the latent reversed after each; 0 steps is the identity.

    Forward:            z_k = reverse(step_k(z_(k-1), context)), k = 1 to K
    Forward log-det:    sum of the steps' log-dets
    Inverse:            z_(k-1) = step_k^(-1)(reverse(z_k), context), k = K to 1
    Inverse log-det:    sum of the inverse steps' log-dets

    Attributes:
        latent_dim: Size of z.
        context_dim: Size of the context vector.
        num_steps: Number of steps K.
        hidden: Hidden units of each step's masked network.
        offset: Added to the gates' logits.
    """

    latent_dim: int
    context_dim: int
    num_steps: int
    hidden: int
    offset: float = 2.0

    def setup(self):
        """Make the steps."""
        sizes = (self.latent_dim, self.context_dim, self.hidden, self.offset)
        self.steps = [IAFStep(*sizes, name=f"flow_{k}") for k in range(self.num_steps)]  # the name in model files

    def __call__(self, z: Latents, context: Contexts) -> tuple[Latents, LogDets]:
        """As `forward`."""
        return self.forward(z, context)

    def forward(self, z: Latents, context: Contexts) -> tuple[Latents, LogDets]:
        """z0 -> zK and log |det dzK / dz0|. One pass."""
        z, log_gates = self.forward_and_log_gates(z, context)
        return z, log_gates.sum(axis=-1)

    def forward_and_log_gates(self, z: Latents, context: Contexts) -> tuple[Latents, Latents]:
        """zK and the summand of the log-det that belongs to each of its entries. One pass."""
        total = jnp.zeros_like(z)
        for step in self.steps:
            z, log_gates = step.forward_and_log_gates(z, context)
            z, total = z[..., ::-1], (total + log_gates)[..., ::-1]
        return z, total

    def stages(self, z: Latents, context: Contexts) -> Float[Array, "stages batch latent"]:
        """z0 and the latent after each step, all in the order of zK."""
        stages = [z]
        for step in self.steps:
            z = step.forward(z, context)[0][..., ::-1]
            stages = [*(stage[..., ::-1] for stage in stages), z]
        return jnp.stack(stages)

    def in_final_order(self, entries: Latents) -> Latents:
        """Values that belong to the entries of z0, in the order of zK's entries."""
        return entries[..., ::-1] if self.num_steps % 2 else entries

    def inverse(self, z: Latents, context: Contexts) -> tuple[Latents, LogDets]:
        """zK -> z0 and log |det dz0 / dzK|. O(latent) passes a step."""
        log_det = jnp.zeros(z.shape[:-1], z.dtype)
        for step in reversed(self.steps):
            z, step_log_det = step.inverse(z[..., ::-1], context)
            log_det = log_det + step_log_det
        return z, log_det


def precompensating_kernel(
    shape: tuple[int, int], num_steps: int, offset: ArrayLike, dtype: DTypeLike
) -> Float[Array, "inputs latent"]:
    """Kernel W that cancels a new flow in advance: IAF(x @ W) equals x, cut or zero-padded to the latent size.

    A new step multiplies by sigmoid(offset), and an odd number of steps leaves the entries reversed.
    """
    kernel = (1 + np.exp(-offset)) ** num_steps * np.eye(*shape)
    return jnp.asarray(kernel[:, ::-1] if num_steps % 2 else kernel, dtype)
