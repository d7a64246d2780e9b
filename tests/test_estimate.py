"""The training estimate: its numbers are the default model's, and its measurement holds still."""

import pytest

from experiments import step_speed
from vaelab import estimate
from vaelab.config import TrainConfig

REFRESH = "the default model changed: put the two numbers of `python -m experiments.speed step` into vaelab/estimate.py"


def test_the_operations_of_a_step_are_the_default_models():
    assert step_speed.prepared(*step_speed.PEERS["default"][:3])[1] == pytest.approx(
        estimate.STEP_OPERATIONS, rel=0.2
    ), REFRESH


@pytest.mark.slow
def test_a_step_takes_as_long_as_estimated():
    """Within a factor of three, on whatever machine this is."""
    take, _ = step_speed.prepared(*step_speed.PEERS["default"][:3])
    best = min(take() for _ in range(200))
    assert 1 / 3 < best / estimate.step_seconds() < 3, REFRESH


def test_the_fewest_steps_are_those_of_the_schedule():
    """Warm-up, then a plateau of two evaluations before each of two falls, and one before the end."""
    knobs = TrainConfig(warmup_steps=10, patience=2, evaluate_every=10, decay_steps=5, decay=0.3, stop_rate=0.02)
    assert estimate.fewest_steps(knobs) == 10 + 4 * 20 + 3 * 5


def test_the_machines_speed_can_be_measured_again():
    """The time of one thread of its own hardly moves, whatever else the machine does."""
    speeds = []
    for _ in range(3):
        estimate.matrix_speed.cache_clear()
        speeds.append(estimate.matrix_speed())
    assert min(speeds) > 1e8
    assert max(speeds) < 3 * min(speeds)
    assert estimate.training_seconds() == estimate.fewest_steps(TrainConfig()) * estimate.step_seconds()
