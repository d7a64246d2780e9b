"""The IAF-VAE: encoder and decoder that convolve over time, the flow posterior, classifier heads, the ELBO.

Posterior of one sound x, in the order of the code:

    h = encoder(x);  mean, log_std = heads(h);  context = head(h)
    z0 = mean + exp(log_std) * eps,             eps ~ N(0, I)
    zK, log_det = IAF(z0, context)
    log q(zK|x) = sum(-0.5 eps^2 - 0.5 log 2 pi - log_std) - log_det
    log p(zK)   = sum(-0.5 zK^2 - 0.5 log 2 pi)
    kl          = log q(zK|x) - log p(zK)       one draw: its mean over eps is KL(q || p)
    recon       = -log p(x|zK)
    -ELBO       = recon + kl

Mel bands are channels and convolutions run over time: on a CPU these are matrix products at nearly the
machine's peak, where 2-D convolutions of the usual shape reach a tenth of it. Neighbouring frames are first put
side by side in patches, so that the costly full frame rate is met by two products only.

Sources: Kingma and Welling 2014, https://arxiv.org/abs/1312.6114; Kingma et al. 2016,
https://arxiv.org/abs/1606.04934.
"""

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import jax
import jax.numpy as jnp
from flax import linen as nn
from jax.scipy.stats import norm

from vaelab.config import AudioConfig, ModelConfig
from vaelab.flows import IAF

LEVELS = 255  # features are stored in steps of 1 / 255; the Laplace likelihood counts in these units
LEAST_SCALE = 0.5  # levels: no prediction of a rounded level can be sharper than the rounding
LOG_STD_RANGE = (-7.0, 3.0)
FIRST_LOG_STD = -3.0  # little noise at first, so that the decoder has something to learn from


class ShapeError(ValueError):
    """An array of another shape or kind than the model was made for."""


class Posterior(NamedTuple):
    """What the encoder says of a batch: mean, log_std (batch, latent), context and hidden (batch, hidden)."""

    mean: jax.Array
    log_std: jax.Array
    context: jax.Array
    hidden: jax.Array


class Terms(NamedTuple):
    """What the loss is made of, for each sound.

    Attributes:
        recon: -log p(x|z), nats (batch,).
        kl: One draw of log q(z|x) - log p(z), nats (batch,); a single draw may be negative.
        error: Mean distance between features and their reconstruction, in [0, 1] (batch,).
        classes: Cross-entropy of each label set, nats (batch, label sets), 0 where the label is unknown.
        chosen: The most probable class of each label set (batch, label sets).
    """

    recon: jax.Array
    kl: jax.Array
    error: jax.Array
    classes: jax.Array
    chosen: jax.Array


class ResidualBlock(nn.Module):
    """x + conv(dropout(elu(conv(norm(x))))), convolutions of three frames: (batch, frames, width) -> the same."""

    width: int
    dropout: float = 0.0

    @nn.compact
    def __call__(self, x: jax.Array, deterministic: bool = True) -> jax.Array:
        """Apply the block."""
        y = nn.LayerNorm()(x)
        y = nn.elu(nn.Conv(self.width, (3,))(y))
        y = nn.Dropout(self.dropout)(y, deterministic=deterministic)
        return x + nn.Conv(self.width, (3,), kernel_init=nn.initializers.zeros_init())(y)


def patches(features: jax.Array, size: int) -> jax.Array:
    """Neighbouring frames side by side: (batch, frames, mels) -> (batch, ceil(frames / size), size * mels).

    The last patch is filled up with silence.
    """
    batch, frames, mels = features.shape
    count = -(-frames // size)
    padded = jnp.pad(features, ((0, 0), (0, count * size - frames), (0, 0)))
    return padded.reshape(batch, count, size * mels)


class Encoder(nn.Module):
    """Features (batch, frames, mels) -> `Posterior`."""

    config: ModelConfig

    @nn.compact
    def __call__(self, features: jax.Array, deterministic: bool = True) -> Posterior:
        """Encode a batch."""
        config = self.config
        x = nn.Dense(config.width)(2 * patches(features, config.patch) - 1)
        for _ in range(config.downsamples):
            for _ in range(config.blocks):
                x = ResidualBlock(config.width, config.dropout)(x, deterministic)
            x = nn.Conv(config.width, (4,), strides=(2,))(x)
        x = nn.LayerNorm()(x).reshape(x.shape[0], x.shape[1] * x.shape[2])
        hidden = nn.elu(nn.Dense(config.hidden)(x))
        hidden = nn.Dropout(config.dropout)(hidden, deterministic=deterministic)
        mean = nn.Dense(config.latent_dim)(hidden)
        log_std = nn.Dense(
            config.latent_dim,
            kernel_init=nn.initializers.zeros_init(),
            bias_init=nn.initializers.constant(FIRST_LOG_STD),
        )(hidden)
        context = nn.Dense(config.hidden)(hidden)
        return Posterior(mean, jnp.clip(log_std, *LOG_STD_RANGE), nn.elu(context), hidden)


class Decoder(nn.Module):
    """Latent (batch, latent) -> features or their logits (batch, frames, mels)."""

    config: ModelConfig
    frames: int
    mels: int

    @nn.compact
    def __call__(self, z: jax.Array, deterministic: bool = True) -> jax.Array:
        """Decode a batch."""
        config = self.config
        lengths = [-(-self.frames // config.patch)]
        for _ in range(config.downsamples):
            lengths.append(-(-lengths[-1] // 2))
        x = nn.elu(nn.Dense(config.hidden)(z))
        x = nn.Dense(lengths[-1] * config.width)(x).reshape(x.shape[0], lengths[-1], config.width)
        for length in lengths[-2::-1]:  # each frame becomes two; odd lengths drop the last
            x = nn.Dense(2 * config.width)(x).reshape(x.shape[0], 2 * x.shape[1], config.width)[:, :length]
            for _ in range(config.blocks):
                x = ResidualBlock(config.width, config.dropout)(x, deterministic)
        x = nn.Conv(config.patch * self.mels, (3,))(nn.LayerNorm()(x))
        return x.reshape(x.shape[0], x.shape[1] * config.patch, self.mels)[:, : self.frames]


class IAFVAE(nn.Module):
    """Encoder, flow, decoder, heads and likelihood as one module; users meet it as `Model`."""

    config: ModelConfig
    frames: int
    mels: int

    def setup(self):
        """Make the parts."""
        config = self.config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config, self.frames, self.mels)
        self.flow = IAF(config.latent_dim, config.hidden, config.flow_steps, config.flow_hidden, config.flow_offset)
        self.heads = [nn.Dense(len(names), name=f"head_{name}") for name, names in config.labels]
        if config.likelihood == "laplace":
            self.log_scale = self.param("log_scale", nn.initializers.constant(3.0), (self.mels,))

    def __call__(self, features: jax.Array, eps: jax.Array, labels: jax.Array) -> Terms:
        """As `terms`; touches every weight, so it also initialises."""
        return self.terms(features, eps, labels)

    def terms(self, features: jax.Array, eps: jax.Array, labels: jax.Array, deterministic: bool = True) -> Terms:
        """The terms of the loss of a batch.

        Args:
            features: (batch, frames, mels) in [0, 1].
            eps: Standard normal noise (batch, latent).
            labels: Class indices (batch, label sets), -1 where unknown.
            deterministic: Without dropout; otherwise its noise is the stream "dropout".

        Raises:
            ShapeError: An array does not fit the model.
        """
        posterior = self.posterior(features, deterministic)
        _expect("eps", eps, jnp.floating, batch=features.shape[0], latent=self.config.latent_dim)
        _expect("labels", labels, jnp.integer, batch=features.shape[0], sets=len(self.config.labels))
        z, kl = self.sample(posterior, eps)
        output = self.decoder(z, deterministic)
        error = jnp.abs(self.features(output) - features).mean(axis=(1, 2))
        classes, chosen = self.classification(posterior.hidden, labels)
        return Terms(self.recon(features, output), kl, error, classes, chosen)

    def posterior(self, features: jax.Array, deterministic: bool = True) -> Posterior:
        """What the encoder says of features (batch, frames, mels) in [0, 1]."""
        _expect("features", features, jnp.floating, batch=None, frames=self.frames, mels=self.mels)
        return self.encoder(features, deterministic)

    def sample(self, posterior: Posterior, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
        """zK for given noise, and log q(zK|x) - log p(zK), nats: (batch, latent) and (batch,). One pass."""
        z0 = posterior.mean + jnp.exp(posterior.log_std) * eps
        z, log_det = self.flow.forward(z0, posterior.context)
        log_q = (norm.logpdf(eps) - posterior.log_std).sum(axis=-1) - log_det
        return z, log_q - norm.logpdf(z).sum(axis=-1)

    def log_q(self, posterior: Posterior, z: jax.Array) -> jax.Array:
        """log q(zK|x) of any zK, nats: (batch, latent) -> (batch,). O(latent) passes, by the flow's inverse."""
        _expect("z", z, jnp.floating, batch=None, latent=self.config.latent_dim)
        z0, log_det = self.flow.inverse(z, posterior.context)
        eps = (z0 - posterior.mean) * jnp.exp(-posterior.log_std)
        return (norm.logpdf(eps) - posterior.log_std).sum(axis=-1) + log_det

    def recon(self, features: jax.Array, output: jax.Array) -> jax.Array:
        """-log p(x|z) in nats, summed over frames and bands: (batch,).

        laplace: density of the stored level around the output's, in levels, with one scale per band,
            scale = LEAST_SCALE + exp(log_scale). A band that is always silent would otherwise earn any density
            by an ever smaller scale; so none exceeds 1 per level, and recon is never negative.
        cross_entropy: of [0, 1] features as if they were probabilities, as SampleVAE does.
        """
        if self.config.likelihood == "laplace":
            scale = (LEAST_SCALE + jnp.exp(self.log_scale))[None, None, :]
            nats = jnp.log(2 * scale) + LEVELS * jnp.abs(features - output) / scale
        else:
            nats = nn.softplus(output) - features * output
        return nats.sum(axis=(1, 2))

    def features(self, output: jax.Array) -> jax.Array:
        """The decoder's output as features in [0, 1]."""
        return jnp.clip(output, 0, 1) if self.config.likelihood == "laplace" else nn.sigmoid(output)

    def classification(self, hidden: jax.Array, labels: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Cross-entropy in nats (0 where unknown) and most probable class, each (batch, label sets)."""
        nats, chosen = jnp.zeros(labels.shape, hidden.dtype), jnp.zeros(labels.shape, jnp.int32)
        for column, head in enumerate(self.heads):
            truth = labels[:, column]
            log_p = nn.log_softmax(head(hidden))
            true_log_p = jnp.take_along_axis(log_p, jnp.maximum(truth, 0)[:, None], axis=1)[:, 0]
            nats = nats.at[:, column].set(jnp.where(truth >= 0, -true_log_p, 0))
            chosen = chosen.at[:, column].set(log_p.argmax(axis=1).astype(jnp.int32))
        return nats, chosen

    def embed(self, features: jax.Array, eps: jax.Array) -> jax.Array:
        """zK for given noise; eps = 0 is the deterministic embedding: (batch, latent)."""
        posterior = self.posterior(features)
        _expect("eps", eps, jnp.floating, batch=features.shape[0], latent=self.config.latent_dim)
        return self.sample(posterior, eps)[0]

    def generate(self, z: jax.Array) -> jax.Array:
        """Features in [0, 1] that z stands for: (batch, frames, mels)."""
        _expect("z", z, jnp.floating, batch=None, latent=self.config.latent_dim)
        return self.features(self.decoder(z))

    def class_logits(self, features: jax.Array) -> tuple[jax.Array, ...]:
        """One (batch, classes) array for each label set."""
        hidden = self.posterior(features).hidden
        return tuple(head(hidden) for head in self.heads)


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
    def encode(self, features: jax.Array, eps: jax.Array | None = None) -> jax.Array:
        """Embeddings: (batch, frames, mels) -> (batch, latent).

        Args:
            features: In [0, 1].
            eps: Standard normal noise (batch, latent), a draw from the posterior; None is the
                deterministic embedding, eps = 0.

        Raises:
            ShapeError: An array does not fit the model; so do the other methods.
        """
        if eps is None:
            eps = jnp.zeros((features.shape[0], self.config.latent_dim), features.dtype)
        return self.module.apply({"params": self.params}, features, eps, method="embed")

    @jax.jit
    def decode(self, z: jax.Array) -> jax.Array:
        """Features: (batch, latent) -> (batch, frames, mels) in [0, 1]."""
        return self.module.apply({"params": self.params}, z, method="generate")

    @jax.jit
    def log_q(self, features: jax.Array, z: jax.Array) -> jax.Array:
        """log q(z|x) in nats, how probable a latent is for a sound; O(latent) passes.

        Args:
            features: (batch, frames, mels) in [0, 1], or one sound, (1, frames, mels), for all latents.
            z: Any latents (batch, latent).

        Returns:
            (batch,).
        """

        def log_q(module: IAFVAE, features, z):
            return module.log_q(module.posterior(features), z)

        return self.module.apply({"params": self.params}, features, z, method=log_q)

    @jax.jit
    def classify(self, features: jax.Array) -> tuple[jax.Array, ...]:
        """Class probabilities: (batch, frames, mels) -> one (batch, classes) for each label set."""
        logits = self.module.apply({"params": self.params}, features, method="class_logits")
        return tuple(nn.softmax(scores) for scores in logits)


def create(config: ModelConfig, audio: AudioConfig, key: jax.Array) -> Model:
    """A model with fresh weights, a function of the key alone."""
    return (_fresh if isinstance(key, jax.core.Tracer) else _fresh_quickly)(config, audio, key)


def _fresh(config: ModelConfig, audio: AudioConfig, key: jax.Array) -> Model:
    module = IAFVAE(config, audio.frames, audio.n_mels)
    features = jnp.zeros((1, audio.frames, audio.n_mels))
    labels = jnp.zeros((1, len(config.labels)), jnp.int32)
    variables = module.init(key, features, jnp.zeros((1, config.latent_dim)), labels)
    return Model(variables["params"], config, audio)


# It runs once, and compiling it is all that it costs: without optimisation that takes half the time.
_fresh_quickly = jax.jit(
    _fresh,
    static_argnames=("config", "audio"),
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


def negative_elbo(terms: Terms, beta: float | jax.Array = 1.0, free_bits: float = 0.0) -> jax.Array:
    """recon + beta * kl of each sound, nats (batch,); by default -ELBO itself.

    Free bits are those of Kingma et al. 2016 with the whole latent as one group: the mean over the
    batch is mean(recon) + beta * max(mean(kl), free_bits), so the KL pulls at nothing while its batch mean is
    below `free_bits`. The mean is inside the max because one draw of one sound's kl is noise, and a max of noise is
    biased; one group because, after flow steps in both orders, single latents have no KL of their own.

    Args:
        terms: Of a batch.
        beta: Weight of the KL term.
        free_bits: Nats of KL per sound that cost nothing; 0 is off.
    """
    kl = terms.kl
    if free_bits:
        kl = jnp.where(kl.mean() < free_bits, free_bits, kl)
    return terms.recon + beta * kl


def _expect(name: str, array: jax.Array, kind: type, **sizes: int | None) -> None:
    """Refuse another kind of number or another shape; a size of None is free."""
    fits = array.ndim == len(sizes) and all(
        size in (None, found) for size, found in zip(sizes.values(), array.shape, strict=True)
    )
    if not fits:
        shape = ", ".join(axis if size is None else f"{axis} {size}" for axis, size in sizes.items())
        raise ShapeError(f"{name}: expected shape ({shape}), found {array.shape}")
    if not jnp.issubdtype(array.dtype, kind):
        hint = f"; divide stored levels by {LEVELS}" if name == "features" else ""
        raise ShapeError(f"{name}: expected {kind.__name__} numbers, found {array.dtype}{hint}")
