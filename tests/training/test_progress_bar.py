"""The training line: what it says, with an honest time left."""

import dataclasses
import io
import sys

import pytest

from vaelab.config import TrainConfig
from vaelab.training.progress_bar import Bar
from vaelab.training.schedule import Schedule

CONFIG = TrainConfig(batch_size=10, learning_rate=1e-3, warmup_steps=0, evaluate_every=100, patience=3)
HELD_OUT = {"loss": 90.4, "kl": 12.0, "audible_db": 2.345}


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def bar_after(steps, seconds, num_steps, schedule=None):
    """What the line says after a first dispatch that took long, and steps and seconds since."""
    clock, schedule = Clock(), schedule or Schedule()
    with Bar(0, num_steps, CONFIG, show=False, clock=clock) as bar:
        clock.now = 60.0  # compilation
        bar.done(20, 100.0, schedule)
        clock.now += seconds
        bar.evaluated(HELD_OUT)
        bar.done(20 + steps, 99.6, schedule)
        return bar.texts(99.6, schedule)


def test_it_says_losses_rate_and_speed():
    assert bar_after(80, 8.0, None) == [
        "loss 100",
        "held out 90, kl 12, error 2.35 dB",
        "rate 1.0e-03",
        "100 sounds/s",
        "this rate for at least 0:30",  # evaluations at 200, 300 and 400 without improvement
    ]


def test_with_a_last_step_both_ends_are_told():
    assert bar_after(80, 8.0, 5000)[-1] == "this rate for at least 0:30, at most 8:10 left"
    assert bar_after(80, 8.0, 150)[-1] == "0:05 left"
    assert bar_after(80, 8.0, 100_000)[-1] == "this rate for at least 0:30, at most 2:46:30 left"


def test_without_a_speed_nothing_is_invented():
    with Bar(0, None, CONFIG, show=False) as bar:
        bar.done(20, 3.0, Schedule())
        assert bar.texts(3.0, Schedule()) == ["loss 3", "rate 1.0e-03"]


class Stream(io.StringIO):
    def __init__(self, terminal):
        super().__init__()
        self.isatty = lambda: terminal


@pytest.mark.parametrize(
    ("terminal", "disabled", "lines", "returns"),
    [(True, "", 0, True), (True, "0", 0, True), (True, "1", 0, False), (False, "", 2, False), (False, "1", 0, False)],
)
def test_without_a_terminal_there_is_a_line_at_each_evaluation(monkeypatch, capsys, terminal, disabled, lines, returns):
    monkeypatch.setattr(sys, "stderr", Stream(terminal))
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    monkeypatch.setenv("TQDM_DISABLE", disabled)
    with Bar(0, None, CONFIG) as bar:
        for step in range(10, 201, 10):
            bar.done(step, 99.6, Schedule())
            if step % 100 == 0:
                bar.evaluated(HELD_OUT)
    out = capsys.readouterr().out
    assert out.count("\n") == lines == out.count("held out 90, kl 12, error 2.35 dB")
    assert ("training: step 100, loss 100, held out" in out) == (lines > 0)
    assert ("\r" in sys.stderr.getvalue()) == returns


def test_the_bar_of_a_training_that_ends_by_itself_is_full(monkeypatch):
    """In a notebook, one that is not full when it ends is red."""
    monkeypatch.setattr(sys, "stderr", Stream(terminal=True))
    monkeypatch.setenv("TQDM_DISABLE", "")
    with Bar(0, 400, CONFIG) as bar:
        bar.done(100, 99.6, Schedule())
        bar.end()
    last = sys.stderr.getvalue().rstrip().split("\r")[-1]
    assert "100%" in last
    assert "100/100" in last


@pytest.mark.parametrize(
    ("schedule", "step", "end"),
    [
        (Schedule(best=1.0), 0, 300),
        (Schedule(best=1.0), 100, 400),
        (Schedule(best=1.0, waiting=2), 250, 300),
        (Schedule(best=1.0, factor=0.3, lowered_at=300), 300, 700),  # 200 steps of falling count for nothing
        (Schedule(best=1.0, factor=0.3, lowered_at=300, waiting=1), 500, 700),
    ],
)
def test_a_phase_ends_when_the_schedule_says_so(schedule, step, end):
    """The schedule itself, shown losses that never improve, lowers the rate at that step."""
    assert schedule.phase_end(step, CONFIG) == end
    run, factor = dataclasses.replace(schedule), schedule.factor
    for at in range(step // 100 * 100 + 100, 2000, 100):
        run.update(2.0, at, CONFIG)
        if run.factor != factor or run.done:
            break
    assert at == end
