"""Speed of the training step relative to the machine's matrix products: `python -m experiments.speed.step`.

Floating-point operations are counted from the shapes of every matrix product and convolution in the step's own
program, forwards and backwards, two for each multiplication; nothing else counts. The bound is a product of two
float32 matrices of 2048 x 2048, timed in turn with the steps. Peers take turns, so that what else the machine does
hits all alike; the best round of each counts.
"""

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import measures, samplevae_2d, timing
from experiments.speed.options import parsed
from vaelab import model as models
from vaelab.config import AudioConfig, Config, ModelConfig, TrainConfig
from vaelab.models import devices
from vaelab.training import train_step

COMMAND = "python -m experiments.speed.step"
MATRIX = 2048
SOUNDS = 64
WIDE = ModelConfig(components=0, width=256)
FLAT = ModelConfig(components=0, width=1, likelihood="cross_entropy")
SAMPLEVAE = AudioConfig.samplevae()
# What is timed: front end and model, batch, target share of the bound or none.
PEERS = {
    "default": (AudioConfig(), ModelConfig(), TrainConfig().batch_size, 0.35),
    "default, 16 kHz": (SAMPLEVAE, ModelConfig(), TrainConfig().batch_size, None),
    "convolutions, width 256": (AudioConfig(), WIDE, TrainConfig().batch_size, 0.6),
    "SampleVAE's layers, 2-D": (SAMPLEVAE, FLAT, 64, None),
}


def operations(program: Any) -> int:
    """Floating-point operations of the matrix products and convolutions in a jaxpr and in those it calls."""
    total = 0
    for equation in program.eqns:
        total += _own_operations(equation)
        repeats = equation.params.get("length", 1) if equation.primitive.name == "scan" else 1
        for inner in _programs(list(equation.params.values())):
            total += repeats * operations(inner)
    return total


def _programs(values: Iterable[Any]) -> Iterator[Any]:
    """The programs among an equation's parameters, such as a loop's body."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from _programs(value)
        elif hasattr(value, "eqns"):
            yield value
        elif hasattr(value, "jaxpr"):
            yield value.jaxpr


def _own_operations(equation: Any) -> int:
    out = math.prod(equation.outvars[0].aval.shape)
    if equation.primitive.name == "dot_general":
        (contracted, _), _ = equation.params["dimension_numbers"]
        return 2 * out * math.prod(equation.invars[0].aval.shape[axis] for axis in contracted)
    if equation.primitive.name == "conv_general_dilated":
        kernel = equation.invars[1].aval.shape
        outputs = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
        return 2 * out * math.prod(kernel) // outputs
    return 0


def prepared(audio: AudioConfig, sizes: ModelConfig, batch: int) -> tuple[Callable[[], float], int]:
    """A function that takes one step and returns its seconds, and the step's operations."""
    config = Config(audio, sizes, TrainConfig(batch_size=batch))
    create = samplevae_2d.create if sizes is FLAT else models.create
    model = create(sizes, audio, jax.random.key(0))
    trained, fixed = models.trainable(model.params)
    rng = np.random.default_rng(0)
    features = jnp.asarray(rng.integers(0, 256, (SOUNDS, audio.frames, audio.n_mels), np.uint8))
    data = train_step.Data(fixed, features)
    rows, key, number = np.arange(batch) % SOUNDS, jax.random.key(1), np.full(1, 1e-4, np.float32)
    batches = train_step.Batches(rows[None], number, number, np.int32(1))
    held = [train_step.start(trained, config.train)]
    program = jax.make_jaxpr(partial(train_step.one_step, module=model.module, config=config))(
        held[0], fixed, features[rows], key, number[0], number[0]
    )

    def step() -> float:
        start = time.perf_counter()
        held[0], metrics = train_step.run_steps(
            held[0], data, batches, key, model.module, config, devices.mesh(batch), looped=False
        )
        jax.block_until_ready((held[0], metrics))
        return time.perf_counter() - start

    return step, operations(program.jaxpr)


def bound() -> tuple[Callable[[], float], int]:
    """A large matrix product, as `prepared`."""
    matrix = jnp.ones((MATRIX, MATRIX))
    product = jax.jit(jnp.matmul)

    def multiply() -> float:
        return timing.seconds(lambda: product(matrix, matrix))

    return multiply, 2 * MATRIX**3


def measure(rounds: int, repeats: int = 10, names: Iterable[str] = PEERS) -> list[list]:
    """Rows of the table: name, GFLOP a step, milliseconds, GFLOP/s, share of the bound, target."""
    peers = {"matrix product": bound(), **{name: prepared(*PEERS[name][:3]) for name in names}}
    best = dict.fromkeys(peers, math.inf)
    for take, _ in peers.values():
        take()
    for _ in range(rounds):
        for name, (take, flops) in peers.items():
            taken = [take() for _ in range(1 if flops > 1e10 else repeats)]
            best[name] = min(best[name], float(np.median(taken)))
    rate = {name: flops / best[name] / 1e9 for name, (_, flops) in peers.items()}
    rows = []
    for name, (_, flops) in peers.items():
        target = PEERS[name][3] if name in PEERS else None
        share = round(rate[name] / rate["matrix product"], 3)
        rows.append([name, round(flops / 1e9, 3), round(1e3 * best[name], 2), round(rate[name], 1), share, target])
    return rows


def report(rounds: int, tiny: bool = False) -> None:
    """Print the table and keep it; a tiny one has the default model only, and is not kept."""
    columns = ["step", "GFLOP", "ms", "GFLOP/s", "share of the bound", "target"]
    rows = measure(1, 1, ["default"]) if tiny else measure(rounds)
    note = (
        f"best of {rounds} rounds in turn; operations are counted from the shapes of products and convolutions; the "
        "bound is the speed of the matrix product"
    )
    title = "Training step against the machine's matrix products"
    measures.report(None if tiny else "step", COMMAND, columns, rows, note, title, on_real_sounds=False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    with parsed(COMMAND, __doc__, arguments) as options:
        report(options.rounds, options.tiny)


if __name__ == "__main__":
    main()
