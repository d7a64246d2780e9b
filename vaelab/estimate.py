"""About how long training will take on this machine's processor.

What a step with default knobs costs stands here as two numbers that `python -m experiments.speed step` measures, and
a test says when the model has outgrown them. What this machine can do is a fraction of a second of matrix products. So
the estimate needs neither a model nor JAX, and it does not repeat the model's shapes.
"""

import time
from functools import cache

import joblib
import numpy as np

from vaelab.config import TrainConfig

STEP_OPERATIONS = 0.744e9  # floating-point operations of a default training step, counted from its shapes
EFFICIENCY = 0.24  # speed of training steps beside that of plain matrix products
PROBES, PROBE_SECONDS, PROBE_SIZE, TOGETHER = 4, 0.05, 64, 100


def training_seconds() -> float:
    """Seconds until training with the default knobs can end at the earliest."""
    return fewest_steps(TrainConfig()) * step_seconds()


def step_seconds() -> float:
    """Seconds of a training step with the default knobs."""
    return STEP_OPERATIONS / (EFFICIENCY * matrix_speed())


def fewest_steps(train: TrainConfig) -> int:
    """Steps after which the plateau schedule stops a run that no longer improves after its warm-up."""
    lowerings, rate = 0, train.decay
    while rate >= train.stop_rate:
        lowerings, rate = lowerings + 1, rate * train.decay
    plateau = train.patience * train.evaluate_every
    return train.warmup_steps + (lowerings + 1) * plateau + lowerings * train.decay_steps


@cache
def matrix_speed() -> float:
    """Floating-point operations a second of float32 matrix products on all cores, if nothing else ran.

    Products this small stay in one thread, and what counts is that thread's own processor time: whatever else runs
    takes turns, but no time of it.
    """
    matrix, speeds = np.ones((PROBE_SIZE, PROBE_SIZE), np.float32), []
    for _ in range(PROBES):
        products, start = 0, time.thread_time()
        while (spent := time.thread_time() - start) < PROBE_SECONDS:
            for _ in range(TOGETHER):
                matrix @ matrix
            products += TOGETHER
        speeds.append(2 * PROBE_SIZE**3 * products / spent)
    return joblib.cpu_count() * max(speeds)
