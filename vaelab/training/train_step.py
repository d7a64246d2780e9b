"""The jitted training step: loss, AdamW, the running average of the weights; several steps in one dispatch.

The only optax. Everything random in a step is drawn from a key folded with the step's number, and how steps are
grouped into dispatches changes nothing: the loop's body is compiled once and runs as often as it is told.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from jax import lax
from jax.sharding import Mesh

from vaelab import model as models
from vaelab import networks
from vaelab.config import Config, TrainConfig
from vaelab.models import devices
from vaelab.spectral import dequantise
from vaelab.training.augment import augment

STREAMS = ("eps", "dropout", "augment")  # of a step's noise


class TrainState(NamedTuple):
    """State that a training step updates.

    Attributes:
        params: Weights that are trained.
        average: Their running average.
        optimiser: Optax's state.
        step: Steps done.
    """

    params: Any
    average: Any
    optimiser: Any
    step: jax.Array


class Data(NamedTuple):
    """Arrays that stay on the devices.

    Attributes:
        fixed: The weights that training leaves alone.
        features: uint8 (rows, frames, mels).
    """

    fixed: dict
    features: jax.Array


class Batches(NamedTuple):
    """Inputs of several steps, of which the first `count` are done.

    Attributes:
        rows: Rows of the features on the device (steps, batch).
        rate: Learning rates (steps,).
        beta: Weights of the KL term (steps,).
        count: How many steps to do.
    """

    rows: np.ndarray
    rate: np.ndarray
    beta: np.ndarray
    count: np.ndarray


def start(params: Any, config: TrainConfig) -> TrainState:
    """The state before the first step, on the host."""
    shapes = jax.eval_shape(optimiser(config).init, params)
    zeros = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)  # as Adam begins
    return TrainState(*(jax.tree.map(np.array, params) for _ in range(2)), zeros, np.int32(0))


def run_steps(
    state: TrainState,
    data: Data,
    batches: Batches,
    key: jax.Array,
    module: models.IAFVAE,
    config: Config,
    mesh: Mesh,
    looped: bool | None = None,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """Hand the device some steps without waiting for them.

    Args:
        state: Donated.
        data: On every device.
        batches: Which rows, and how fast.
        key: Stream of noise.
        module: The model.
        config: Knobs.
        mesh: Over which the batches are split.
        looped: All steps in one dispatch, by a loop on the device; None: wherever that is no loss. On a CPU it is one:
            XLA computes convolutions inside of loops on a single core (measured: ten times slower), while
            dispatching steps one by one costs nothing there.

    Returns:
        The next state, and each step's mean loss, its terms (steps,), still on the device.
    """
    if looped is None:
        looped = jax.default_backend() != "cpu"
    if looped:
        state, metrics = _loop(state, data, batches, key, module, config, mesh)
        return state, {name: values[: batches.count] for name, values in metrics.items()}
    metrics = []
    for place in range(int(batches.count)):
        batch = (array[place] for array in batches[:3])
        state, values = _single(state, data, *batch, key, module, config, mesh)
        metrics.append(values)
    return state, {name: [values[name] for values in metrics] for name in metrics[0]}


@partial(jax.jit, static_argnames=("module", "config", "mesh"), donate_argnames="state")
def _single(state, data, rows, rate, beta, key, module, config, mesh):
    batch = lax.with_sharding_constraint(data.features[rows], devices.split(mesh))
    state, metrics = one_step(state, data.fixed, batch, key, rate, beta, module, config)
    return lax.with_sharding_constraint((state, metrics), devices.everywhere(mesh))


@partial(jax.jit, static_argnames=("module", "config", "mesh"), donate_argnames="state")
def _loop(state, data, batches, key, module, config, mesh):
    def body(done, carry):
        state, metrics = carry
        batch = (array[done] for array in batches[:3])
        state, values = _single(state, data, *batch, key, module, config, mesh)
        return state, {name: metrics[name].at[done].set(value) for name, value in values.items()}

    first = (array[0] for array in batches[:3])
    step = partial(_single, module=module, config=config, mesh=mesh)
    shapes = jax.eval_shape(step, state, data, *first, key)[1]
    empty = jax.tree.map(lambda leaf: jnp.zeros(len(batches.rate), leaf.dtype), shapes)
    return lax.fori_loop(0, batches.count, body, (state, empty))


def one_step(
    state: TrainState,
    fixed: dict,
    batch: jax.Array,
    key: jax.Array,
    rate: jax.Array,
    beta: jax.Array,
    module: models.IAFVAE,
    config: Config,
) -> tuple[TrainState, dict[str, jax.Array]]:
    """One step of AdamW on a batch of stored features, uint8 (batch, frames, mels), and of the running average."""
    train = config.train
    noise = dict(zip(STREAMS, jax.random.split(jax.random.fold_in(key, state.step), len(STREAMS)), strict=True))
    features = augment(noise["augment"], dequantise(batch), config)
    eps = jax.random.normal(noise["eps"], (batch.shape[0], module.config.latent_dim))

    def mean_loss(params):
        terms = _terms(module, {**params, **fixed}, features, eps, noise["dropout"], train.precision)
        nats = models.negative_elbo(terms, beta, train.free_bits)
        return nats.mean(), {"train_recon": terms.recon.mean(), "train_kl": terms.kl.mean()}

    (loss, metrics), gradients = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    updates, optimiser_state = optimiser(train).update(gradients, state.optimiser, state.params)
    params = optax.apply_updates(state.params, jax.tree.map(lambda update: -rate * update, updates))
    keep = jnp.minimum(train.average, (1 + state.step) / (10 + state.step))
    average = optax.incremental_update(params, state.average, 1 - keep)
    return TrainState(params, average, optimiser_state, state.step + 1), {"train_loss": loss, **metrics}


def optimiser(config: TrainConfig) -> optax.GradientTransformation:
    """AdamW without its rate, which `one_step` applies; biases and scales do not decay."""
    return optax.chain(
        optax.clip_by_global_norm(config.gradient_clip),
        optax.scale_by_adam(b2=config.adam_b2),
        optax.add_decayed_weights(
            config.weight_decay, mask=lambda params: jax.tree.map(lambda leaf: leaf.ndim > 1, params)
        ),
    )


def _terms(module, params, features, eps, dropout: jax.Array, precision: str) -> models.Terms:
    """The loss's terms with dropout, encoder and decoder in the precision asked for."""
    labels = jnp.full(features.shape[0], -1, jnp.int32)  # no step trains a classifier

    def apply(params):
        return module.apply(
            {"params": params}, features, eps, labels, deterministic=False, rngs={"dropout": dropout}, method="terms"
        )

    if precision == "float32":
        return apply(params)
    halves = {
        name: _cast(part, jnp.bfloat16) if name in ("encoder", "decoder") else part for name, part in params.items()
    }
    with nn.intercept_methods(_in_half):
        return apply(halves)


def _in_half(function, args, kwargs, context):
    """Let encoder and decoder as a whole take and give float32, and compute in bfloat16."""
    if context.method_name == "__call__" and isinstance(context.module, networks.Encoder | networks.Decoder):
        return _cast(function(*_cast(args, jnp.bfloat16), **kwargs), jnp.float32)
    return function(*args, **kwargs)


def _cast(tree: Any, dtype: Any) -> Any:
    """The floating-point arrays of a tree as another type."""

    def cast(leaf):
        is_float = hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if is_float else leaf

    return jax.tree.map(cast, tree)
