"""The learning rate is lowered at each plateau of the held-out loss, and ends training when it is low enough."""

from dataclasses import dataclass

import numpy as np

from vaelab.config import TrainConfig


@dataclass
class Schedule:
    """The learning rate as a factor of the first, and the end of training, from the held-out losses seen."""

    factor: float = 1.0  # where the rate stands, or is going to while it is being lowered
    lowered_at: int = -1  # step at which the last lowering began, or -1
    best: float = float("inf")  # lowest held-out loss
    waiting: int = 0  # evaluations since it last fell
    done: bool = False  # the next lowering would fall below the stop rate

    def rate(self, step: int, config: TrainConfig) -> float:
        """The learning rate of a step: warm-up, constant, and geometric descents of fixed length."""
        scale = self.factor
        if self.lowered_at >= 0:
            gone = min(1.0, (step - self.lowered_at) / config.decay_steps)
            scale = self.factor * config.decay ** (gone - 1)
        return config.learning_rate * scale * warm_up(step, config)

    def update(self, loss: float, step: int, config: TrainConfig) -> bool:
        """Take an evaluation into account; returns whether it is the best so far. NaN never is."""
        improved = loss < self.best
        if loss < self.best - config.min_improvement * abs(self.best) or not np.isfinite(self.best):
            self.waiting = 0
        elif step >= self.lowered_at + config.decay_steps or self.lowered_at < 0:
            self.waiting += 1
        self.best = min(self.best, loss) if improved else self.best
        if self.waiting >= config.patience:
            self._lower(step, config)
        return improved

    def phase_end(self, step: int, config: TrainConfig) -> int:
        """The step at which this rate ends if no evaluation after `step` brings an improvement: the earliest."""
        counts_from = 0 if self.lowered_at < 0 else self.lowered_at + config.decay_steps
        first = max(step + 1, counts_from)
        evaluation = -(-first // config.evaluate_every) * config.evaluate_every
        return evaluation + (config.patience - self.waiting - 1) * config.evaluate_every

    def _lower(self, step: int, config: TrainConfig) -> None:
        if self.factor * config.decay < config.stop_rate:
            self.done = True
        else:
            self.factor, self.lowered_at, self.waiting = self.factor * config.decay, step, 0


def warm_up(step: int, config: TrainConfig) -> float:
    """Rises from near 0 to 1 over the first steps."""
    return min(1.0, (step + 1) / max(1, config.warmup_steps))
