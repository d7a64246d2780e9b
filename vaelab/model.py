"""The IAF-VAE: encoder and decoder (`vaelab.networks`), the flow posterior, the classifier's head, the ELBO.

Posterior of one sound x, in the order of the code:

    h = encoder(x);  mean, log_std = heads(h);  context = head(h)
    z0 = mean + exp(log_std) * eps,             eps ~ N(0, I)
    zK, log_det = IAF(z0, context)
    log q(zK|x) = sum(-0.5 eps^2 - 0.5 log 2 pi - log_std) - log_det
    log p(zK)   = sum(-0.5 zK^2 - 0.5 log 2 pi)
    kl          = log q(zK|x) - log p(zK)       one draw: its mean over eps is KL(q || p)
    recon       = -log p(x|zK)
    -ELBO       = recon + kl

The encoder's input and the decoder's output are coordinates along the principal components of the training sounds
(`vaelab.pca`); between the two is the identity plus a learned correction. So a model starts as the best linear one, and
training goes on from there. Convolutions over time are optional: mel bands are their channels, and neighbouring frames
are joined to patches.
The classifier's head reads statistics of the cepstrum (`vaelab.audio.timbre`), and no step trains it
(`vaelab.training.classifier`).

Sources: Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; Kingma et al. 2016,
https://arxiv.org/abs/1606.04934.
"""

import dataclasses
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.stats import norm
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from vaelab import VaelabError
from vaelab.config import AudioConfig, ModelConfig
from vaelab.flows import IAF, Latents
from vaelab.networks import Components, Decoder, Encoder, LandmarkKernel, Posterior, Timbre
from vaelab.pca import Principal
from vaelab.spectral import AUDIBLE, LEVELS, Features

LEAST_SCALE = 0.5  # levels: no prediction of a rounded level can be sharper than the rounding
FIXED = ("components", "timbre", "ear")  # parameters, beside the classifier's head, that training leaves alone
HEAD = "head_"  # the name of the head begins with it
FIRST_SCALE = 0.2  # levels: of a band that the components explain entirely

Nats = Float[Array, " batch"]


class ShapeError(VaelabError, ValueError):
    """An array of another shape or kind than the model was made for."""


class Terms(NamedTuple):
    """Terms of the loss for each sound.

    Attributes:
        recon: -log p(x|z), nats.
        kl: One draw of log q(z|x) - log p(z), nats; a single draw may be negative.
        error: Mean distance between features and their reconstruction, in [0, 1].
        audible: The same where a sound is audible: features above `AUDIBLE`.
        classes: Cross-entropy of the class, nats, 0 where it is unknown.
        chosen: The most probable class.
    """

    recon: Nats
    kl: Nats
    error: Float[Array, " batch"]
    audible: Float[Array, " batch"]
    classes: Nats
    chosen: Int[Array, " batch"]


class IAFVAE(nn.Module):
    """Encoder, flow, decoder, heads and likelihood as one module; users meet it as `Model`."""

    config: ModelConfig
    frames: int
    mels: int

    def setup(self):
        """Make the parts."""
        config = self.config
        if config.components:
            logits = config.likelihood == "cross_entropy"
            self.components = Components(config.components, self.frames, self.mels, logits)
        self.encoder = self.make_encoder()
        self.decoder = self.make_decoder()
        self.flow = self.make_flow()
        if config.labels:
            self.timbre = Timbre(config.cepstra, config.timbre == "detailed")
            self.landmarks = LandmarkKernel(name="ear")  # the name in model files
            self.head = nn.Dense(len(config.classes), name=HEAD + config.labels[0][0])
        if config.likelihood != "cross_entropy":
            self.log_scale = self.param("log_scale", nn.initializers.constant(3.0), (self.mels,))

    def make_encoder(self) -> nn.Module:
        """Make the encoder, from features and coordinates to a `Posterior`."""
        return Encoder(self.config)

    def make_decoder(self) -> nn.Module:
        """Make the decoder, from latents to coordinates and a residual of linked features."""
        return Decoder(self.config, self.frames, self.mels)

    def make_flow(self) -> IAF:
        """Make the flow, from z0 and the encoder's context to zK."""
        config = self.config
        return IAF(config.latent_dim, config.hidden, config.flow_steps, config.flow_hidden, config.flow_offset)

    def __call__(self, features: jax.Array, eps: jax.Array, labels: jax.Array) -> Terms:
        """As `terms`; touches every weight, so it also initialises."""
        return self.terms(features, eps, labels)

    def terms(self, features: jax.Array, eps: jax.Array, labels: jax.Array, deterministic: bool = True) -> Terms:
        """The terms of the loss of a batch.

        Args:
            features: (batch, frames, mels) in [0, 1].
            eps: Standard normal noise (batch, latent).
            labels: Class indices (batch,), -1 where unknown.
            deterministic: False lets dropout act, by the random stream "dropout".

        Raises:
            ShapeError: An array does not fit the model.
        """
        posterior = self.posterior(features, deterministic)
        _expect("eps", eps, jnp.floating, batch=features.shape[0], latent=self.config.latent_dim)
        _expect("labels", labels, jnp.integer, batch=features.shape[0])
        z, kl = self.sample(posterior, eps)
        output = self.output(z, deterministic)
        distance = jnp.abs(self.features(output) - features)
        loud = features > AUDIBLE
        audible = (distance * loud).sum(axis=(1, 2)) / jnp.maximum(loud.sum(axis=(1, 2)), 1)
        classes, chosen = self.classification(features, labels)
        return Terms(self.recon(features, output), kl, distance.mean(axis=(1, 2)), audible, classes, chosen)

    def posterior(self, features: jax.Array, deterministic: bool = True) -> Posterior:
        """Encode features (batch, frames, mels) in [0, 1]."""
        _expect("features", features, jnp.floating, batch=None, frames=self.frames, mels=self.mels)
        coordinates = jnp.zeros((features.shape[0], 0), features.dtype)
        if self.config.components:
            coordinates = self.components.project(features)
        return self.encoder(features, coordinates, deterministic)

    def output(self, z: Latents, deterministic: bool = True) -> Features:
        """Decode latents to linked features."""
        coordinates, residual = self.decoder(z, deterministic)
        return (self.components.rebuild(coordinates) if self.config.components else 0.0) + residual

    def sample(self, posterior: Posterior, eps: Latents) -> tuple[Latents, Nats]:
        """zK for given noise, and log q(zK|x) - log p(zK). One pass."""
        z, kl = self.kl_of_entries(posterior, eps)
        return z, kl.sum(axis=-1)

    def kl_of_entries(self, posterior: Posterior, eps: Latents) -> tuple[Latents, Latents]:
        """zK for given noise, and the summand of log q(zK|x) - log p(zK), nats, that belongs to each entry."""
        z0 = posterior.mean + jnp.exp(posterior.log_std) * eps
        z, log_gates = self.flow.forward_and_log_gates(z0, posterior.context)
        log_q0 = self.flow.in_final_order(norm.logpdf(eps) - posterior.log_std)
        return z, log_q0 - log_gates - norm.logpdf(z)

    def log_q(self, posterior: Posterior, z: jax.Array) -> Nats:
        """log q(zK|x) of any zK (batch, latent). O(latent) passes, by the flow's inverse."""
        _expect("z", z, jnp.floating, batch=None, latent=self.config.latent_dim)
        z0, log_det = self.flow.inverse(z, posterior.context)
        eps = (z0 - posterior.mean) * jnp.exp(-posterior.log_std)
        return (norm.logpdf(eps) - posterior.log_std).sum(axis=-1) + log_det

    def recon(self, features: Features, output: Features) -> Nats:
        """-log p(x|z), summed over frames and bands.

        laplace: density of the stored level around the output's, in levels, with one scale per band,
            scale = LEAST_SCALE + exp(log_scale). A band that is always silent would otherwise earn any density
            by an ever smaller scale; so none exceeds 1 per level, and recon is never negative.
        censored: the same where features are audible; elsewhere the probability, under the same density, of lying at
            `AUDIBLE` or below. Four fifths of all cells are silence, which "laplace" counts like sound: there training
            buys a lower loss with quieter loud parts.
        cross_entropy: of [0, 1] features as if they were probabilities, as SampleVAE does.
        """
        if self.config.likelihood == "cross_entropy":
            return (nn.softplus(output) - features * output).sum(axis=(1, 2))
        scale = (LEAST_SCALE + jnp.exp(self.log_scale))[None, None, :]
        nats = jnp.log(2 * scale) + LEVELS * jnp.abs(features - output) / scale
        if self.config.likelihood == "censored":
            nats = jnp.where(features > AUDIBLE, nats, -_laplace_log_cdf(LEVELS * (AUDIBLE - output) / scale))
        return nats.sum(axis=(1, 2))

    def features(self, output: Features) -> Features:
        """Turn the decoder's output into features in [0, 1]."""
        return nn.sigmoid(output) if self.config.likelihood == "cross_entropy" else jnp.clip(output, 0, 1)

    def classifier_inputs(self, features: jax.Array) -> Float[Array, "batch landmarks"]:
        """Inputs of the classifier's head, from features (batch, frames, mels) in [0, 1]."""
        _expect("features", features, jnp.floating, batch=None, frames=self.frames, mels=self.mels)
        return self.landmarks(self.timbre(features))

    def classification(self, features: jax.Array, labels: Int[Array, " batch"]) -> tuple[Nats, Int[Array, " batch"]]:
        """Cross-entropy (0 where the label is unknown), and the most probable class."""
        if not self.config.classes:
            return jnp.zeros(labels.shape, features.dtype), jnp.zeros(labels.shape, jnp.int32)
        log_p = nn.log_softmax(self.class_logits(features))
        true_log_p = jnp.take_along_axis(log_p, jnp.maximum(labels, 0)[:, None], axis=1)[:, 0]
        return jnp.where(labels >= 0, -true_log_p, 0), log_p.argmax(axis=1).astype(jnp.int32)

    def embed(self, features: jax.Array, eps: jax.Array) -> Latents:
        """zK for given noise; eps = 0 is the deterministic embedding."""
        posterior = self.posterior(features)
        _expect("eps", eps, jnp.floating, batch=features.shape[0], latent=self.config.latent_dim)
        return self.sample(posterior, eps)[0]

    def generate(self, z: jax.Array, headroom: bool = False) -> Features:
        """Decode latents (batch, latent) to features in [0, 1]; see `Model.decode`."""
        _expect("z", z, jnp.floating, batch=None, latent=self.config.latent_dim)
        output = self.output(z)
        if headroom and self.config.likelihood != "cross_entropy":
            output = output - jnp.maximum(output.max(axis=(1, 2), keepdims=True) - 1, 0)
        return self.features(output)

    def class_logits(self, features: jax.Array) -> Float[Array, "batch classes"]:
        """Logits of the classes, from features (batch, frames, mels)."""
        if not self.config.classes:
            return jnp.zeros((features.shape[0], 0), features.dtype)
        return self.head(self.classifier_inputs(features))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Model:
    """An IAF-VAE with its weights; a pytree whose leaves are `params`.

    Attributes:
        params: Nested dict of arrays.
        config: Sizes and labels.
        audio: The front end that made its features.
    """

    params: dict
    config: ModelConfig = dataclasses.field(metadata={"static": True})
    audio: AudioConfig = dataclasses.field(metadata={"static": True})

    @property
    def module(self) -> IAFVAE:
        """The Linen module that `params` belong to."""
        return IAFVAE(self.config, self.audio.frames, self.audio.n_mels)

    @jax.jit
    def encode(self, features: jax.Array, eps: jax.Array | None = None) -> Latents:
        """Embed sounds.

        Args:
            features: (batch, frames, mels) in [0, 1].
            eps: Standard normal noise (batch, latent), a draw from the posterior; None is the
                deterministic embedding, eps = 0.

        Raises:
            ShapeError: An array does not fit the model; so do the other methods.
        """
        if eps is None:
            eps = jnp.zeros((features.shape[0], self.config.latent_dim), features.dtype)
        return self.module.apply({"params": self.params}, features, eps, method="embed")

    @partial(jax.jit, static_argnames="headroom")
    def decode(self, z: jax.Array, headroom: bool = False) -> Features:
        """Decode latents (batch, latent) to features in [0, 1].

        Features are relative to a sound's maximum, so that none exceeds 1. Between the training sounds a decoder
        exceeds it, by tens of dB in a tenth of random sounds.

        Args:
            z: The latents.
            headroom: Lower the whole sound until its maximum is 1, for sounds of which no other one says how loud they
                are. Otherwise what exceeds 1 is cut off, which flattens the loudest parts, and leaves the others where
                they are.
        """
        return self.module.apply({"params": self.params}, z, headroom, method="generate")

    @jax.jit
    def log_q(self, features: jax.Array, z: jax.Array) -> Nats:
        """log q(z|x): how probable latents are for sounds. O(latent) passes.

        Args:
            features: (batch, frames, mels) in [0, 1], or one sound, (1, frames, mels), for all latents.
            z: Any latents (batch, latent).
        """

        def log_q(module: IAFVAE, features, z):
            return module.log_q(module.posterior(features), z)

        return self.module.apply({"params": self.params}, features, z, method=log_q)

    @jax.jit
    def classify(self, features: jax.Array) -> Float[Array, "batch classes"]:
        """Class probabilities, from features (batch, frames, mels)."""
        logits = self.module.apply({"params": self.params}, features, method="class_logits")
        return nn.softmax(logits) if self.config.classes else logits


def create(config: ModelConfig, audio: AudioConfig, key: jax.Array, principal: Principal | None = None) -> Model:
    """Initialise a model.

    Args:
        config: Sizes and labels.
        audio: The front end.
        key: Of the weights.
        principal: Components to start from; None leaves random axes.
    """
    return (_create if isinstance(key, jax.core.Tracer) else _create_quickly)(config, audio, key, principal)


def _create(config: ModelConfig, audio: AudioConfig, key: jax.Array, principal: Principal | None) -> Model:
    module = IAFVAE(config, audio.frames, audio.n_mels)
    features = jnp.zeros((1, audio.frames, audio.n_mels))
    labels = jnp.zeros(1, jnp.int32)
    params = module.init(key, features, jnp.zeros((1, config.latent_dim)), labels)["params"]
    if principal is not None and config.components:
        params["components"] = {name: getattr(principal, name) for name in ("centre", "axes", "spread")}
        if config.likelihood != "cross_entropy":
            params["log_scale"] = jnp.log(jnp.maximum(LEVELS * principal.error - LEAST_SCALE, FIRST_SCALE))
    return Model(params, config, audio)


# It runs once, and compiling it is all that it costs: without optimisation that takes half the time.
_create_quickly = jax.jit(
    _create,
    static_argnames=("config", "audio"),
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


def trainable(params: dict) -> tuple[dict, dict]:
    """Split parameters into those that training changes and fixed ones: principal components and the classifier."""
    fixed = {name: leaf for name, leaf in params.items() if name in FIXED or name.startswith(HEAD)}
    return {name: leaf for name, leaf in params.items() if name not in fixed}, fixed


def negative_elbo(terms: Terms, beta: ArrayLike = 1.0, free_bits: ArrayLike = 0.0) -> Nats:
    """recon + beta * kl of each sound; by default -ELBO itself.

    Free bits are those of Kingma et al. 2016 with the whole latent as one group: the mean over the
    batch is mean(recon) + beta * max(mean(kl), free_bits), so the KL pulls at nothing while its batch mean is
    below `free_bits`. The mean is inside the max because one draw of one sound's kl is noise, and a max of noise is
    biased; one group because, after flow steps in both orders, single latents have no KL of their own.

    Args:
        terms: Of a batch.
        beta: Weight of the KL term.
        free_bits: A batch's mean KL below this many nats has no gradient; 0 is off.
    """
    kl = terms.kl
    if free_bits:
        kl = jnp.where(kl.mean() < free_bits, free_bits, kl)
    return terms.recon + beta * kl


def _laplace_log_cdf(x: jax.Array) -> jax.Array:
    """log P(X <= x) of a Laplace variable of scale 1, exact far below 0 too."""
    return jnp.where(x < 0, x - jnp.log(2.0), jnp.log1p(-0.5 * jnp.exp(-jnp.maximum(x, 0))))


def _expect(name: str, array: jax.Array, kind: type, **sizes: int | None) -> None:
    """Refuse another kind of number or another shape; a size of None is free."""
    fits = array.ndim == len(sizes) and all(
        size in (None, length) for size, length in zip(sizes.values(), array.shape, strict=True)
    )
    if not fits:
        shape = ", ".join(axis if size is None else f"{axis} {size}" for axis, size in sizes.items())
        raise ShapeError(f"{name}: expected shape ({shape}), found {array.shape}")
    if not jnp.issubdtype(array.dtype, kind):
        hint = f"; divide stored levels by {LEVELS}" if name == "features" else ""
        raise ShapeError(f"{name}: expected {kind.__name__} numbers, found {array.dtype}{hint}")
