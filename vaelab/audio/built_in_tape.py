"""A built-in tape: a seeded "industrial performance" of any length, whose events are known to the sample.

Sounds of `synth` at random times, over hiss and hum, with short dropouts: ground truth for slicing, and material for
those who have no tape at hand. Levels are of the mean power, in dBFS (a full-scale sine is at -3).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vaelab.audio import synth

MAINS_HZ = 50.0
HUM = {1: 1.0, 2: 0.7, 3: 0.5, 4: 0.25, 5: 0.2, 6: 0.1}  # amplitude of the mains' harmonics
DROPOUT_S = (0.02, 0.08)
GAP_S = (0.05, 1.2)  # between the end of an event and the next
LEVEL_DB = (-14.0, -3.0)  # of an event's peak
FRAME_S = 0.005  # of the measure of onsets
ONSET_DB = 30.0  # below its peak: where a sound begins


@dataclass(frozen=True, slots=True)
class Event:
    """A sound on a tape: from its onset to its end, seconds, and what it is."""

    start: float
    end: float
    kind: str


@dataclass(frozen=True)
class Tape:
    """A recording, and what is on it."""

    samples: np.ndarray  # float32 (samples,) in [-1, 1]
    sample_rate: int  # Hz
    events: tuple[Event, ...]  # in the order of time
    dropouts: tuple[tuple[float, float], ...]  # (start, end) of each, seconds

    @property
    def seconds(self) -> float:
        """Duration."""
        return len(self.samples) / self.sample_rate


def perform(
    seconds: float = 60.0,
    seed: int = 0,
    sample_rate: int = 44100,
    hiss_dbfs: float = -60.0,
    hum_dbfs: float = -66.0,
    dropouts_per_minute: float = 3.0,
    kinds: Sequence[str] | None = None,
) -> Tape:
    """Play and record a performance, of which the seed decides everything.

    It plays the `kinds` (of `synth.KINDS`; None for all), over hiss and hum of these levels (-inf for none).

    Raises:
        ValueError: An unknown kind, or a number out of range.
    """
    if not seconds > 0:
        raise ValueError(f"seconds: expected above 0, found {seconds}")
    rng = np.random.default_rng([seed, 0x7A9E])
    kinds = list(synth.KINDS if kinds is None else kinds)
    played: list[tuple[float, str, np.ndarray]] = []
    at = rng.uniform(0.3, 1.0)
    while at < seconds:
        kind = kinds[rng.integers(len(kinds))]
        samples, _ = synth.sound(kind, int(rng.integers(2**31)), sample_rate)
        played.append((at, kind, samples * (10 ** (rng.uniform(*LEVEL_DB) / 20) / np.abs(samples).max())))
        at += len(samples) / sample_rate + rng.uniform(*GAP_S)
    return assemble(played, seconds, sample_rate, rng, hiss_dbfs, hum_dbfs, dropouts_per_minute)


def assemble(
    played: Sequence[tuple[float, str, np.ndarray]],
    seconds: float,
    sample_rate: int,
    rng: np.random.Generator,
    hiss_dbfs: float = -np.inf,
    hum_dbfs: float = -np.inf,
    dropouts_per_minute: float = 0.0,
) -> Tape:
    """Put sounds, (start in seconds, kind, samples) each, on a tape; those that do not end on it are left out.

    `rng` draws hiss and dropouts; the rest is as in `perform`.
    """
    samples = np.zeros(round(seconds * sample_rate), np.float32)
    events = []
    for start, kind, sound in played:
        first = round(start * sample_rate)
        if first + len(sound) <= len(samples):
            samples[first : first + len(sound)] += sound
            onset = (first + onset_of(sound, sample_rate)) / sample_rate
            events.append(Event(onset, (first + len(sound)) / sample_rate, kind))
    samples += hiss(len(samples), rng, hiss_dbfs)
    samples += hum(len(samples), sample_rate, hum_dbfs)
    dropouts = []
    for start in np.sort(rng.uniform(0, seconds, rng.poisson(dropouts_per_minute * seconds / 60))):
        end = min(seconds, start + rng.uniform(*DROPOUT_S))
        samples[round(start * sample_rate) : round(end * sample_rate)] *= 0.05
        dropouts.append((float(start), float(end)))
    np.clip(samples, -1, 1, out=samples)  # as tape does
    return Tape(samples, sample_rate, tuple(sorted(events, key=lambda event: event.start)), tuple(dropouts))


def onset_of(samples: np.ndarray, sample_rate: int) -> int:
    """Onset of a sound (samples,): the first sample of the first 5 ms frame within 30 dB of the loudest."""
    powers = frame_powers(samples, sample_rate)
    return int(np.argmax(powers >= powers.max() * 10 ** (-ONSET_DB / 10))) * hop_of(sample_rate)


def frame_powers(samples: np.ndarray, sample_rate: int) -> np.ndarray:
    """Energy of each 5 ms of a sound (samples,): (frames,)."""
    starts = np.arange(0, len(samples), hop_of(sample_rate))
    return np.add.reduceat(np.asarray(samples, np.float64) ** 2, starts)


def hop_of(sample_rate: int) -> int:
    """Samples of a frame of 5 ms."""
    return max(1, round(FRAME_S * sample_rate))


def hiss(samples: int, rng: np.random.Generator, dbfs: float) -> np.ndarray:
    """White noise (samples,) of a mean power."""
    if dbfs == -np.inf:
        return np.zeros(samples, np.float32)
    return rng.standard_normal(samples, np.float32) * np.float32(10 ** (dbfs / 20))


def hum(samples: int, sample_rate: int, dbfs: float) -> np.ndarray:
    """The mains and its harmonics (samples,), of a mean power."""
    gain = 10 ** (dbfs / 20) / np.sqrt(sum(size**2 for size in HUM.values()) / 2)
    turns = np.arange(samples) * (MAINS_HZ / sample_rate)
    waves = [size * np.sin(2 * np.pi * order * turns) for order, size in HUM.items()]
    return (gain * np.sum(waves, axis=0)).astype(np.float32)
