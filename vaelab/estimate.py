"""About how long training will take on this machine's processor, from arithmetic and a short measurement.

No model is built: the default model's multiplications are counted from its sizes, and a fraction of a second of
matrix products shows how fast this machine multiplies.
"""

import time
from functools import cache

import numpy as np

from vaelab.config import AudioConfig, ModelConfig, TrainConfig

EFFICIENCY = 0.5  # share of the speed of plain matrix products that training steps reached (measured: 0.40 to 0.58)
PROBE_SECONDS, LEAST_RUNS = 0.2, 20


def training_minutes() -> float:
    """Minutes until training with the default knobs can end at the earliest, on this processor."""
    return fewest_steps(TrainConfig()) * step_seconds(AudioConfig(), ModelConfig(), TrainConfig()) / 60


def step_seconds(audio: AudioConfig, model: ModelConfig, train: TrainConfig) -> float:
    """Seconds of one training step: forwards once, and backwards at twice the cost."""
    operations = 3 * 2 * train.batch_size * multiplications(audio, model)
    return operations / (EFFICIENCY * matrix_speed())


def fewest_steps(train: TrainConfig) -> int:
    """Steps after which the plateau schedule stops a run that no longer improves after its warm-up."""
    lowerings, rate = 0, train.decay
    while rate >= train.stop_rate:
        lowerings, rate = lowerings + 1, rate * train.decay
    plateau = train.patience * train.evaluate_every
    return train.warmup_steps + (lowerings + 1) * plateau + lowerings * train.decay_steps


def multiplications(audio: AudioConfig, model: ModelConfig) -> int:
    """Multiplications of one pass of one sound through encoder, flow and decoder."""
    width, lengths = model.width, [-(-audio.frames // model.patch)]
    patch = model.patch * audio.n_mels
    for _ in range(model.downsamples):
        lengths.append(-(-lengths[-1] // 2))
    blocks = sum(6 * width**2 * model.blocks * length for length in lengths[:-1])
    encoder = patch * width * lengths[0] + blocks + sum(4 * width**2 * length for length in lengths[1:])
    encoder += lengths[-1] * width * model.hidden + model.hidden * (2 * model.latent_dim + model.hidden)
    flow = model.flow_steps * model.flow_hidden * (3 * model.latent_dim + model.hidden)
    decoder = model.hidden * (model.latent_dim + lengths[-1] * width) + blocks
    decoder += sum(2 * width**2 * length for length in lengths[1:]) + 3 * patch * width * lengths[0]
    return encoder + flow + decoder


@cache
def matrix_speed() -> float:
    """Floating-point operations a second of large float32 matrix products on all cores."""
    matrix = np.ones((512, 512), np.float32)
    matrix @ matrix
    best, runs, end = np.inf, 0, time.perf_counter() + PROBE_SECONDS
    while (start := time.perf_counter()) < end or runs < LEAST_RUNS:
        matrix @ matrix
        best, runs = min(best, time.perf_counter() - start), runs + 1
    return 2 * 512**3 / best  # the best run: others are slowed down by whatever else the machine does
