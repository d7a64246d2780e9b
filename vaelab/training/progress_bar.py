"""The line that training shows while it runs: losses, rate, speed, and time left.

In terminals and notebooks it is drawn anew all the time; elsewhere there is one line at each evaluation.
"""

import time
from collections.abc import Callable, Mapping

from vaelab.config import TrainConfig
from vaelab.progress import is_live, is_off, progress_bar
from vaelab.training.schedule import Schedule

FORMS = {
    True: "{l_bar}{bar}| {n_fmt}/{total_fmt} [{elapsed}{postfix}]",
    False: "{desc}: step {n_fmt} [{elapsed}{postfix}]",
}


class Bar:
    """Counts steps; its speed includes feed and evaluations, but not what comes before the first steps are done."""

    def __init__(
        self,
        step: int,
        num_steps: int | None,
        config: TrainConfig,
        show: bool = True,
        clock: Callable[[], float] = time.perf_counter,
    ):
        """Begin after `step` steps; training ends at `num_steps` at the latest. `clock` gives seconds."""
        self._config, self._num_steps, self._clock = config, num_steps, clock
        form = FORMS[num_steps is not None]
        self._line = progress_bar(show=show, total=num_steps, initial=step, desc="training", bar_format=form)
        self._since: tuple[float, int] | None = None
        self._held_out: Mapping[str, float] = {}
        self._step, self._loss, self._schedule = step, 0.0, Schedule()
        self._prints = show and not is_live() and not is_off()

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, *_) -> None:
        self._line.close()

    def say(self, text: str) -> None:
        """Print above the line."""
        self._line.write(text)

    def end(self) -> None:
        """Count the steps so far as all, so that the bar is full: training ended by itself, and did not fail."""
        if self._num_steps is None or self._line.disable:
            return
        begin = self._line.start_t
        self._line.reset(total=self._step)
        self._line.start_t = begin
        self._line.update(self._step)

    def evaluated(self, metrics: Mapping[str, float]) -> None:
        """Show an evaluation from now on."""
        self._held_out = metrics
        if self._prints:
            print(f"training: step {self._step}, {', '.join(self.texts(self._loss, self._schedule))}", flush=True)

    def done(self, step: int, loss: float, schedule: Schedule) -> None:
        """Steps are done up to this one, the last with this loss."""
        if self._since is None:
            self._since = self._clock(), step  # what was before is compilation
        self._line.update(step - self._step)
        self._step, self._loss, self._schedule = step, loss, schedule
        self._line.set_postfix_str(", ".join(self.texts(loss, schedule)))

    def texts(self, loss: float, schedule: Schedule) -> list[str]:
        """Texts of the progress line."""
        texts = [f"loss {loss:.0f}"]
        if self._held_out:
            held_out = self._held_out
            losses = f"held out {held_out['loss']:.0f}, kl {held_out['kl']:.0f}"
            texts.append(f"{losses}, error {held_out['audible_db']:.2f} dB")
        texts.append(f"rate {schedule.rate(self._step, self._config):.1e}")
        if speed := self._steps_a_second():
            texts.append(f"{speed * self._config.batch_size:.0f} sounds/s")
            texts.append(self._left(speed, schedule))
        return texts

    def _steps_a_second(self) -> float:
        start, first = self._since or (0.0, self._step)
        seconds = self._clock() - start
        return (self._step - first) / seconds if self._step > first and seconds > 0 else 0.0

    def _left(self, speed: float, schedule: Schedule) -> str:
        """The rate can fall, or training end, no earlier than the first; it ends no later than the second."""
        phase = schedule.phase_end(self._step, self._config) - self._step
        if self._num_steps is None:
            return f"this rate for at least {_clock(phase / speed)}"
        rest = self._num_steps - self._step
        if rest <= phase:
            return f"{_clock(rest / speed)} left"
        return f"this rate for at least {_clock(phase / speed)}, at most {_clock(rest / speed)} left"


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
