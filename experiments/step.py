"""What a training step with default knobs costs: `python -m experiments.step`.

Prints the floating-point operations that XLA counts, the best time of many steps on this machine, and how that compares
with this machine's matrix products: the two numbers of `vaelab.estimate`, on which the dataset report's estimate of the
training time rests.
"""

import time
from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp

from vaelab import estimate, train
from vaelab import model as models
from vaelab.config import AudioConfig, ModelConfig, TrainConfig

AUDIO, MODEL, TRAIN = AudioConfig(), ModelConfig(), TrainConfig()
STEPS, ROUNDS = 20, 15


def operations() -> float:
    """Floating-point operations of a default step's loss and gradient, as XLA counts them; nothing is compiled."""
    model = jax.eval_shape(partial(models.create, MODEL, AUDIO), jax.random.key(0))
    free, fixed = models.trainable(model.params)

    def loss(free, fixed, features, eps, labels):
        terms = model.module.apply({"params": {**free, **fixed}}, features, eps, labels, method="terms")
        return models.negative_elbo(terms).mean()

    shapes = (TRAIN.batch_size, AUDIO.frames, AUDIO.n_mels), (TRAIN.batch_size, MODEL.latent_dim)
    arguments = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    labels = jax.ShapeDtypeStruct((TRAIN.batch_size, len(MODEL.labels)), jnp.int32)
    return jax.jit(jax.grad(loss)).lower(free, fixed, *arguments, labels).cost_analysis()["flops"]


def stepper() -> Callable[[], None]:
    """A function that takes one default training step, compiled."""
    model = models.create(MODEL, AUDIO, jax.random.key(0))
    free, fixed = models.trainable(model.params)
    state = train.TrainState(free, jax.tree.map(jnp.copy, free), train.optimiser(TRAIN).init(free), jnp.int32(0))
    features = jax.random.randint(jax.random.key(1), (256, AUDIO.frames, AUDIO.n_mels), 0, 256).astype(jnp.uint8)
    labels = jnp.zeros((256, len(MODEL.labels)), jnp.int32)
    some = (jnp.arange(TRAIN.batch_size), jax.random.key(2), jnp.float32(1e-4), jnp.float32(1))

    def step() -> None:
        nonlocal state
        state, metrics = train.train_step(
            state, fixed, features, labels, labels.astype(jnp.float32), *some, module=model.module, config=TRAIN
        )
        jax.block_until_ready(metrics)

    step()
    return step


def seconds(step: Callable[[], None]) -> float:
    """How long a step takes."""
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def main() -> None:
    """Measure, in turns with matrix products, as other work on the machine slows both."""
    step, best, speed = stepper(), float("inf"), 0.0
    for _ in range(ROUNDS):
        for _ in range(STEPS):
            best = min(best, seconds(step))
        estimate.matrix_speed.cache_clear()
        speed = max(speed, estimate.matrix_speed())
    counted = operations()
    print(f"STEP_OPERATIONS  {counted:.3g}  (in vaelab/estimate.py: {estimate.STEP_OPERATIONS:.3g})")
    print(f"EFFICIENCY       {counted / best / speed:.2g}  (in vaelab/estimate.py: {estimate.EFFICIENCY:.2g})")
    print(f"best step {1e3 * best:.1f} ms, matrix products at {speed / 1e9:.0f} GFLOP/s")


if __name__ == "__main__":
    main()
