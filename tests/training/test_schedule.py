"""The schedule: warm up, hold, lower at a plateau, end by itself."""

import dataclasses

import numpy as np
import pytest

from vaelab.config import TrainConfig
from vaelab.training.schedule import Schedule, warm_up

CONFIG = TrainConfig(
    learning_rate=1.0, warmup_steps=10, patience=3, decay=0.1, decay_steps=20, stop_rate=0.005, evaluate_every=10
)


def run(losses, every=10):
    schedule = Schedule()
    for number, loss in enumerate(losses, 1):
        schedule.update(loss, number * every, CONFIG)
        if schedule.done:
            return schedule, number
    return schedule, None


def test_warm_up_rises_to_one():
    values = [warm_up(step, CONFIG) for step in range(12)]
    assert np.all(np.diff(values[:10]) > 0)
    assert values[9] == values[11] == 1.0
    assert warm_up(0, dataclasses.replace(CONFIG, warmup_steps=0)) == 1.0


def test_rate_holds_while_the_loss_falls():
    schedule, ended = run(np.linspace(100, 1, 50))
    assert ended is None
    assert schedule.rate(1000, CONFIG) == 1.0


def test_a_plateau_lowers_the_rate_gradually():
    schedule, _ = run([5, 5, 5, 5])
    assert schedule.lowered_at == 40
    rates = [schedule.rate(step, CONFIG) for step in (40, 50, 60, 500)]
    assert rates == pytest.approx([1.0, 0.1**0.5, 0.1, 0.1])


def test_it_ends_by_itself_after_the_last_lowering():
    schedule, ended = run([5.0] * 100)
    assert schedule.done
    assert schedule.factor == pytest.approx(0.01)
    assert ended < 20


def test_an_improvement_restarts_the_wait():
    schedule, _ = run([5, 5, 5, 4, 4, 4])
    assert schedule.lowered_at == -1


def test_tiny_improvements_are_kept_but_do_not_count():
    schedule = Schedule()
    assert schedule.update(100.0, 10, CONFIG)
    assert schedule.update(99.99, 20, CONFIG)
    assert schedule.waiting == 1
    assert schedule.best == 99.99


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_is_never_best(bad):
    schedule = Schedule()
    assert not schedule.update(bad, 10, CONFIG)
    assert schedule.update(3.0, 20, CONFIG)
    assert not schedule.update(bad, 30, CONFIG)
    assert schedule.best == 3.0
    assert schedule.waiting == 1


def test_state_survives_json():
    schedule, _ = run([5, 5, 5, 5, 4])
    assert Schedule(**dataclasses.asdict(schedule)) == schedule
