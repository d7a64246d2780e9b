"""Variants of sounds, compared by the components that they make: `python -m experiments.quality.variants`.

Components are fitted to training sounds and one variant of each, and judged by what they lose of sounds that they were
not fitted to: the mean distance between features and their projection where a sound is audible. Variants of features
(`vaelab.training.augment`) cost nothing; those of samples are made from the sound files. On the drum kits held out the
ways are chosen; foreign sounds and voices say whether that carries over.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import jax
import jax.numpy as jnp
import librosa
import numpy as np
from scipy import signal

from experiments.common import commands, measures, real_sounds
from vaelab import pca, spectral
from vaelab.config import AudioConfig
from vaelab.training import augment

COMMAND = "python -m experiments.quality.variants"
COMPONENTS, MOST = 512, 150
TINY_COMPONENTS, TINY_SOUNDS = 8, 12
SEMITONES, FACTOR, GAIN_DB = 4.0, 1.3, 12.0

Change = Callable[[np.ndarray, np.random.Generator, int], np.ndarray]  # of a clip (samples,) at a rate, Hz


def resampled(clip: np.ndarray, rng: np.random.Generator, _rate: int) -> np.ndarray:
    """Played faster or slower, as a tape."""
    factor = 2 ** (rng.uniform(-SEMITONES, SEMITONES) / 12)
    at = np.arange(len(clip)) * factor
    return np.interp(at, np.arange(len(clip)), clip, right=0.0).astype(np.float32)


def tuned(clip: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Another pitch at the same length."""
    return librosa.effects.pitch_shift(clip, sr=rate, n_steps=rng.uniform(-SEMITONES, SEMITONES))


def lengthened(clip: np.ndarray, rng: np.random.Generator, _rate: int) -> np.ndarray:
    """Another length at the same pitch."""
    return librosa.effects.time_stretch(clip, rate=FACTOR ** rng.uniform(-1, 1))


def reversed_(clip: np.ndarray, _rng: np.random.Generator, _rate: int) -> np.ndarray:
    """Backwards, from where it ends."""
    sounding = np.flatnonzero(np.abs(clip) > 1e-3 * max(np.abs(clip).max(), 1e-9))
    return clip[: sounding[-1] + 1][::-1] if len(sounding) else clip


def filtered(clip: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """Through a band-pass of a random octave or more, mixed with the sound."""
    low = np.exp(rng.uniform(np.log(60), np.log(4000)))
    high = min(low * 2 ** rng.uniform(1, 4), 0.45 * rate)
    band = signal.sosfilt(signal.butter(2, (low, high), "bandpass", fs=rate, output="sos"), clip)
    return (clip + (10 ** (rng.uniform(0, GAIN_DB) / 20) - 1) * band).astype(np.float32)


def in_a_room(clip: np.ndarray, rng: np.random.Generator, rate: int) -> np.ndarray:
    """With the noise of a room that dies away in 0.1 to 0.8 s."""
    seconds = rng.uniform(0.1, 0.8)
    tail = rng.standard_normal(round(seconds * rate)) * 10 ** (-3 * np.linspace(0, 1, round(seconds * rate)))
    wet = signal.fftconvolve(clip, tail / np.linalg.norm(tail))[: len(clip)]
    return (clip + rng.uniform(0.2, 0.8) * wet).astype(np.float32)


FEATURES: dict[str, Callable[[jax.Array, jax.Array], jax.Array]] = {
    "features: tuned": lambda key, x: augment.shifted(
        x, jax.random.randint(key, len(x), -augment.VARIED_BINS, augment.VARIED_BINS + 1), axis=2
    ),
    "features: stretched": lambda key, x: augment.stretched(
        x, augment.VARIED_TIME ** jax.random.uniform(key, len(x), minval=-1, maxval=1)
    ),
    "features: tilted": lambda key, x: augment.tilted(
        x, jax.random.uniform(key, len(x), minval=-augment.VARIED_TILT, maxval=augment.VARIED_TILT)
    ),
    "features: all three (shipped)": augment.variant,
}
SAMPLES: dict[str, Change] = {
    "samples: faster or slower": resampled,
    "samples: tuned": tuned,
    "samples: stretched": lengthened,
    "samples: reversed": reversed_,
    "samples: filtered": filtered,
    "samples: in a room": in_a_room,
}


def levels_of(clips: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Stored features of clips: (n, samples) -> uint8 (n, frames, mels)."""
    return np.asarray(spectral.quantise(measures.stored_features(clips, config)[0]))


def layered(clips: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Each clip (n, samples) with another, up to 12 dB quieter."""
    gains = 10 ** (-rng.uniform(0, GAIN_DB, (len(clips), 1)) / 20)
    return (clips + gains * clips[rng.permutation(len(clips))]).astype(np.float32)


def changed(clips: np.ndarray, change: Change, config: AudioConfig) -> np.ndarray:
    """Stored features of changed clips (n, samples)."""
    rng = np.random.default_rng(0)
    return levels_of(
        np.stack([spectral.fit_length(change(clip, rng, config.sample_rate), config) for clip in clips]), config
    )


def variants(clips: np.ndarray, levels: np.ndarray, config: AudioConfig) -> dict[str, np.ndarray]:
    """Stored features of one variant of each sound, by each way."""
    by_way = {}
    for name, change in FEATURES.items():
        vary = jax.jit(partial(change, jax.random.key(0)))
        by_way[name] = np.asarray(spectral.quantise(vary(jnp.asarray(spectral.dequantise(levels)))))
    by_way |= {name: changed(clips, change, config) for name, change in SAMPLES.items()}
    return {**by_way, "samples: two layered": levels_of(layered(clips, np.random.default_rng(0)), config)}


def error_db(principal: pca.Principal, levels: np.ndarray, config: AudioConfig) -> float:
    """Mean distance of features from their projection where a sound is audible, dB."""
    features = spectral.dequantise(levels).reshape(len(levels), -1)
    axes, centre = principal.axes.reshape(len(principal.axes), -1), principal.centre.reshape(1, -1)
    projected = np.clip((features - centre) @ axes.T @ axes + centre, 0, 1)
    return float(np.abs(projected - features)[features > spectral.AUDIBLE].mean() * config.top_db)


def measure(training: np.ndarray, judged: dict[str, np.ndarray], config: AudioConfig, count: int) -> list[list]:
    """Rows of the table: clips (n, samples) to fit to, and others to judge by."""
    levels, sides = levels_of(training, config), {name: levels_of(clips, config) for name, clips in judged.items()}
    rows = []
    for name, extra in {"nothing": levels[:0], **variants(training, levels, config)}.items():
        principal = pca.fit(np.concatenate([levels, extra]), count, count, logits=False)
        rows.append([name, *(error_db(principal, side, config) for side in sides.values())])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table."""
    parser = commands.parser(COMMAND, __doc__, "few components of few built-in sounds")
    options = parser.parse_args(arguments)
    config = AudioConfig(sample_rate=16000, clip_seconds=0.5, n_mels=24) if options.tiny else AudioConfig()
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset = (real_sounds.built_in if options.tiny else real_sounds.dataset)(home)
        sides = [[dataset.source(entry) for entry in dataset.side(side)] for side in ("train", "validation")]
        training, held_out = (measures.clips(paths[: TINY_SOUNDS if options.tiny else None], config) for paths in sides)
    judged = {"kits held out": held_out}
    for name, folders in {} if options.tiny else {"LMMS": real_sounds.FOREIGN, "voices": [real_sounds.SPOKEN]}.items():
        paths = list(measures.one_shots(folders))
        judged[name] = measures.clips([paths[i] for i in spectral.evenly_spaced(len(paths), MOST)], config)
    rows = measure(training, judged, config, TINY_COMPONENTS if options.tiny else COMPONENTS)
    note = (
        f"{len(training)} sounds and one variant of each; error in dB where audible of {COMPONENTS} components, of "
        "sounds that they were not fitted to. Models are fitted to three variants of the shipped kind"
    )
    columns = ["variant", *(f"{name}, dB" for name in judged)]
    measures.report(None if options.tiny else "variants", COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
