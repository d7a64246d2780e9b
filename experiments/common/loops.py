"""Dense material whose onsets are known to the sample: programmed loops of one-shots, and two layers of them in a room.

A loop is a bar of sixteen steps, played again and again. A voice of it plays one sound; a hit cuts the voice's last one
off, as samplers do. Hits of several voices within `TOGETHER_S` are one onset: the ear hears one as well.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from scipy import signal

from experiments.common.foreign_sounds import LMMS_DRUMS, SONIC_PI_DRUMS, sonic_pi_class
from experiments.common.measures import one_shots
from experiments.common.real_sounds import HYDROGEN_KITS, SONIC_PI
from vaelab import audio
from vaelab.audio import built_in_tape
from vaelab.datasets.hydrogen import drum_class

RATE = 44100  # Hz
STEPS, BARS = 16, 8
TEMPO = (85.0, 145.0)  # quarters a minute: steps of 103 to 176 ms
TOGETHER_S = 0.03
LONGEST_S = 2.0
PEAK = 0.7
SOFTEST_DB = -6.0  # of a hit, below the loudest of its voice
FADE_S = 0.003  # of a hit that is cut off
# Chance of a hit on each step of a quarter.
PATTERNS = {
    "kick": (0.8, 0.1, 0.3, 0.15),
    "snare": (0.35, 0.1, 0.15, 0.15),
    "hat": (0.95, 0.5, 0.95, 0.5),
    "other": (0.25, 0.15, 0.25, 0.15),
}
ROLES = {"kick": "kick", "snare": "snare", "clap": "snare", "closed_hat": "hat"}  # of classes; all others are "other"
LEVEL_DB = {"kick": 0.0, "snare": -2.0, "hat": -6.0, "other": -4.0}  # of the peak of a voice
ROOM_S, ROOM_DB = (0.3, 0.6), -9.0  # until a room is 60 dB quieter; its energy beside that of the direct sound
DELAY_S = 0.008  # until the room answers


def kits() -> dict[str, list[Path]]:
    """The one-shots of Hydrogen's kits by role: what settings are chosen on."""
    return by_role(list(one_shots(HYDROGEN_KITS, LONGEST_S)), lambda path: drum_class(path.stem))


def foreign() -> dict[str, list[Path]]:
    """The drums of LMMS and Sonic Pi by role: what is scored on."""
    paths = list(one_shots((LMMS_DRUMS, SONIC_PI), LONGEST_S))
    return by_role(
        [path for path in paths if path.parent == LMMS_DRUMS or SONIC_PI_DRUMS.match(path.name)], sonic_pi_class
    )


def by_role(paths: Sequence[Path], classify: Callable[[Path], str | None]) -> dict[str, list[Path]]:
    """Files by the role that their classes have in a loop; a role without a file takes any."""
    pools: dict[str, list[Path]] = {role: [] for role in PATTERNS}
    for path in paths:
        pools[ROLES.get(classify(path) or "", "other")].append(path)
    return {role: files or list(paths) for role, files in pools.items()}


def programmed(pools: Mapping[str, Sequence[Path]], seed: int, snr_db: float) -> built_in_tape.Tape:
    """A programmed loop of a kit drawn from pools of files by role; hiss is so many dB below it."""
    rng = np.random.default_rng([seed, 11])
    return _tape(*_loop(pools, rng, _step(rng), tuple(PATTERNS)), snr_db, rng)


def layered(pools: Mapping[str, Sequence[Path]], seed: int, snr_db: float) -> built_in_tape.Tape:
    """Two loops of one tempo, the second of two other voices, together in a room."""
    rng = np.random.default_rng([seed, 12])
    step_s = _step(rng)
    first, starts = _loop(pools, rng, step_s, tuple(PATTERNS))
    second, more = _loop(pools, rng, step_s, ("other", "other"))
    return _tape(_room(first + second, rng), starts + more, snr_db, rng)


def _step(rng: np.random.Generator) -> float:
    return 60 / rng.uniform(*TEMPO) / 4


def _loop(
    pools: Mapping[str, Sequence[Path]], rng: np.random.Generator, step_s: float, roles: Sequence[str]
) -> tuple[np.ndarray, list[float]]:
    """Samples (samples,) of a loop, and the starts of all its hits in seconds."""
    samples = np.zeros(round((BARS * STEPS * step_s + LONGEST_S + 1) * RATE), np.float32)
    starts = []
    for role in roles:
        sound = audio.read(pools[role][rng.integers(len(pools[role]))], RATE)
        sound = sound[built_in_tape.onset_of(sound, RATE) :][: round(LONGEST_S * RATE)]
        sound = sound * (10 ** (LEVEL_DB[role] / 20) / np.abs(sound).max())
        wanted = np.tile(PATTERNS[role], STEPS // 4) - rng.random(STEPS)
        bar = np.flatnonzero(wanted >= min(0, wanted.max()))  # at least one hit
        gains = 10 ** (rng.uniform(SOFTEST_DB, 0, len(bar)) / 20)
        hits = [
            (1 + (turn * STEPS + step) * step_s, gain)
            for turn in range(BARS)
            for step, gain in zip(bar, gains, strict=True)
        ]
        for (start, gain), (end, _) in pairwise([*hits, (np.inf, 0.0)]):
            played = gain * _cut_off(sound, end - start)
            first = round(start * RATE)
            samples[first : first + len(played)] += played
            starts.append(start)
    return samples, starts


def _cut_off(sound: np.ndarray, seconds: float) -> np.ndarray:
    if len(sound) <= seconds * RATE:
        return sound
    played, fade = sound[: round(seconds * RATE)].copy(), round(FADE_S * RATE)
    played[-fade:] *= np.linspace(1, 0, fade)
    return played


def _room(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The sound with the answer of a room: noise that dies away."""
    seconds = rng.uniform(*ROOM_S)
    times = np.arange(round(seconds * RATE)) / RATE
    answer = rng.standard_normal(len(times)) * 10 ** (-3 * times / seconds)
    answer *= 10 ** (ROOM_DB / 20) / np.linalg.norm(answer)
    answer = np.concatenate([np.zeros(round(DELAY_S * RATE)), answer])
    return (samples + signal.fftconvolve(samples, answer)[: len(samples)]).astype(np.float32)


def _tape(samples: np.ndarray, starts: Sequence[float], snr_db: float, rng: np.random.Generator) -> built_in_tape.Tape:
    samples = samples * np.float32(PEAK / np.abs(samples).max())
    noise_dbfs = 10 * np.log10(np.mean(np.square(samples, dtype=float))) - snr_db
    onsets: list[float] = []
    for start in sorted(starts):
        if not onsets or start - onsets[-1] > TOGETHER_S:
            onsets.append(start)
    events = tuple(built_in_tape.Event(start, start, "hit") for start in onsets)
    return built_in_tape.Tape(samples + built_in_tape.hiss(len(samples), rng, noise_dbfs), RATE, events, ())
