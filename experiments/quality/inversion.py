"""Quality and speed of turning mel features back into sound: `python -m experiments.quality.inversion`.

Real one-shots become log-mel features, rounded as they are stored, and sound again in several ways. Judged by
spectral convergence, the mean over STFT sizes of || |T| - |M| || / || |T| ||, at the sound's own level. Timings are
taken on a few of the sounds, one at a time, the ways in turn.
"""

import argparse
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from pathlib import Path

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from experiments.common import commands, measures, timing
from vaelab import spectral
from vaelab.audio import synth
from vaelab.config import AudioConfig

COMMAND = "python -m experiments.quality.inversion"

PRESETS = {"16 kHz": AudioConfig.samplevae(), "44.1 kHz": AudioConfig()}
LADDER = (0, 1, 2, 4, 8, 16, 32, 64)  # rounds of ours to compare with librosa's 32
TARGETS = {"ours, no phase": 0.42, "ours, the source's phase": 0.20}
LIMIT_UPDATES = 300
WRONG_RATE = 22050  # of SampleVAE's encoder filters, on 16 kHz sound
NOTE = (
    "mean spectral convergence over windows of 128 to 2048 samples, lower is better; {count} one-shots of Hydrogen and "
    "Sonic Pi; milliseconds per sound: median of {timed}, the ways in turn, best of {repeats} ({machine}). 'ours': "
    "vaelab; 'rounds': vaelab without a phase, by rounds of Griffin-Lim; 'limit': the best that 128 bands allow, by "
    "the true phase, features neither rounded nor clipped at -80 dB, and {updates} mel updates. {equal}"
)


def mel_power(features: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Features as mel power, (..., mels, frames) as librosa has it."""
    power = np.where(features > 0, 10 ** ((features - 1) * config.top_db / 10), 0)
    return np.swapaxes(power, -1, -2).astype(np.float32)


def librosas(features: np.ndarray, config: AudioConfig) -> np.ndarray:
    """librosa's mel_to_audio of one sound, with its defaults: (frames, mels) -> (samples,)."""
    samples_back = librosa.feature.inverse.mel_to_audio(
        mel_power(features, config),
        sr=config.sample_rate,
        n_fft=config.n_fft,
        hop_length=config.hop_length,
        pad_mode="constant",
        fmin=config.fmin,
        fmax=config.fmax,
    )
    return spectral.fit_length(samples_back, config)


@lru_cache
def pseudo_inverse(config: AudioConfig) -> np.ndarray:
    """(bins, mels), of the filterbank for the config's own rate."""
    return np.linalg.pinv(spectral.filterbank(config))


def samplevaes(features: np.ndarray, config: AudioConfig) -> np.ndarray:
    """Clipped pseudo-inverse, then ten plain Griffin-Lim rounds from zero phase: (frames, mels) -> (samples,)."""
    magnitude = np.sqrt(np.maximum(pseudo_inverse(config) @ mel_power(features, config), 0))
    forward = partial(librosa.stft, n_fft=config.n_fft, hop_length=config.hop_length, pad_mode="constant")
    back = partial(librosa.istft, n_fft=config.n_fft, hop_length=config.hop_length, length=config.samples)
    spectrum = magnitude.astype(np.complex64)
    for _ in range(10):
        spectrum = magnitude * np.exp(1j * np.angle(forward(back(spectrum))[:, : config.frames]))
    return back(spectrum)


def mismatched_features(samples: np.ndarray, config: AudioConfig) -> tuple[np.ndarray, np.ndarray]:
    """Features by filters that were built for another sample rate, as SampleVAE's encoder has them."""
    wrong = AudioConfig(**{**config.to_dict(), "sample_rate": WRONG_RATE, "clip_seconds": config.samples / WRONG_RATE})
    return measures.stored_features(samples, wrong)


@partial(jax.jit, static_argnames="config")
def limit(samples: jax.Array, config: AudioConfig) -> jax.Array:
    """True magnitude and true phase, through the mel bands and back: (batch, samples) -> the same."""
    filters = jnp.asarray(spectral.filterbank(config))
    spectrum = spectral.stft(samples, config)
    power = spectral.power_spectrum(jnp.square(jnp.abs(spectrum)) @ filters.T, filters, updates=LIMIT_UPDATES)
    return spectral.istft(jnp.sqrt(power) * jnp.exp(1j * jnp.angle(spectrum)), config)


def ways(samples: np.ndarray, config: AudioConfig, label: str) -> dict[str, tuple[Callable, tuple, np.ndarray]]:
    """The methods compared: name -> (function of one batch, its arrays, gains)."""
    features, gains = measures.stored_features(samples, config)
    zero = jnp.zeros((1, config.frames, config.n_fft // 2 + 1))

    def with_phase(batch, sounds):
        return spectral.invert(batch, config, jnp.angle(spectral.stft(sounds, config)))

    def each(function):
        return lambda batch: np.stack([function(clip, config) for clip in batch])

    methods = {}
    if label == "16 kHz":
        wrong, wrong_gains = mismatched_features(samples, config)
        methods["SampleVAE's: two filterbanks, 10 rounds"] = each(samplevaes), (wrong,), wrong_gains
    methods["the same, one filterbank"] = each(samplevaes), (features,), gains
    methods["librosa mel_to_audio, 32 rounds"] = each(librosas), (features,), gains
    methods["ours, literally zero phase"] = (
        lambda f: spectral.invert(f, config, jnp.repeat(zero, len(f), 0), spectral.GRIFFIN_LIM_ROUNDS),
        (features,),
        gains,
    )
    methods["ours, no phase"] = lambda f: spectral.invert(f, config), (features,), gains
    for rounds in LADDER:
        methods[f"{rounds} rounds"] = lambda f, n=rounds: spectral.invert(f, config, iterations=n), (features,), gains
    methods["ours, the source's phase"] = with_phase, (features, samples), gains
    methods["limit"] = lambda x: limit(x, config), (samples,), np.ones_like(gains)
    return methods


def milliseconds(function: Callable, arrays: Sequence[np.ndarray]) -> float:
    """Duration of one call with everything it makes."""
    return 1000 * timing.seconds(lambda: function(*arrays))


def timed(methods: dict, count: int, repeats: int) -> tuple[dict[str, np.ndarray], dict[str, float]]:
    """Milliseconds of each way: (count,) one sound at a time, and per sound in a batch; best of several."""
    single = {name: np.full(count, np.inf) for name in methods}
    batched = dict.fromkeys(methods, np.inf)
    for function, arrays, _ in methods.values():  # compile
        function(*(array[:1] for array in arrays))
    for _ in range(repeats):
        for index in range(count):
            for name, (function, arrays, _) in methods.items():
                clip = tuple(array[index : index + 1] for array in arrays)
                single[name][index] = min(single[name][index], milliseconds(function, clip))
        for name, (function, arrays, _) in methods.items():
            some = tuple(array[: measures.BATCH] for array in arrays)
            batched[name] = min(batched[name], milliseconds(function, some) / len(some[0]))
    return single, batched


def equal_quality(quality: dict[str, np.ndarray], single: dict[str, np.ndarray]) -> str:
    """Speed-up over librosa at equal quality: in the mean, and sound by sound."""
    theirs = "librosa mel_to_audio, 32 rounds"
    slow = single[theirs]
    ladder = [f"{rounds} rounds" for rounds in LADDER]
    enough = next((name for name in ladder if quality[name].mean() <= quality[theirs].mean()), None)
    faster = "never" if enough is None else f"{np.median(slow / single[enough]):.1f} times faster with {enough}"
    ratios, missed = [], 0
    for index, wanted in enumerate(quality[theirs][: len(slow)]):
        name = next((name for name in ladder if quality[name][index] <= wanted), None)
        missed += name is None
        ratios.append(0.0 if name is None else slow[index] / single[name][index])
    return (
        f"as good as librosa in the mean: {faster}; sound for sound, the fewest rounds that equal it: "
        f"{np.median(ratios):.1f} times faster (median; {missed} of {len(slow)} sounds not equalled by any number)"
    )


def measure(label: str, paths: Sequence[Path], options: argparse.Namespace) -> tuple[list[list], str]:
    """Rows of the table for one preset, and the comparison at equal quality."""
    config = PRESETS[label]
    samples = measures.clips(paths, config)
    methods = ways(samples, config, label)
    single, batched = timed(methods, min(options.timed, len(paths)), options.repeats)
    quality = {}
    for name, (function, arrays, gains) in methods.items():
        quality[name] = measures.spectral_convergence(samples, gains * measures.in_batches(function, *arrays))
        text = f"{label:9s} {name:40s} {quality[name].mean():.3f} {np.median(single[name]):9.1f} ms"
        print(text, file=sys.stderr, flush=True)
    rows = [
        [label, name, quality[name].mean(), TARGETS.get(name), float(np.median(single[name])), batched[name]]
        for name in methods
    ]
    return rows, f"{label}: {equal_quality(quality, single)}."


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, and keep the table."""
    parser = commands.parser(COMMAND, __doc__, "two built-in sounds at 16 kHz")
    parser.add_argument("--data-dir", nargs="+", type=Path, default=measures.FOLDERS, metavar="DIR")
    parser.add_argument("--limit", type=int, help="sounds at most (default: all), spread over the folders")
    parser.add_argument("--timed", type=int, default=20, help="sounds that are timed (default 20)")
    parser.add_argument("--repeats", type=int, default=2, help="the best counts (default 2)")
    options = parser.parse_args(arguments)
    warnings.filterwarnings("ignore", "n_fft=.* is too large", UserWarning)  # librosa's, about short sounds
    with tempfile.TemporaryDirectory() as scratch:
        if options.tiny:
            options.data_dir = [synth.write_dataset(scratch, 1, kinds=["kick", "metal"], progress=False)]
            options.timed = options.repeats = 1
        paths = list(measures.one_shots(options.data_dir))
        paths = [paths[index] for index in np.random.default_rng(0).permutation(len(paths))[: options.limit]]
        report(options, parser, paths)


def report(options: argparse.Namespace, parser: argparse.ArgumentParser, paths: Sequence[Path]) -> None:
    """Measure on some sounds, print, keep."""
    rows, equal = [], []
    for label in list(PRESETS)[: 1 if options.tiny else None]:
        quality_rows, comparison = measure(label, paths, options)
        rows += quality_rows
        equal.append(comparison)
    note = NOTE.format(
        count=len(paths),
        timed=min(options.timed, len(paths)),
        repeats=options.repeats,
        machine=timing.machine(),
        updates=LIMIT_UPDATES,
        equal=" ".join(equal),
    )
    columns = ["preset", "way back", "convergence", "target", "ms one by one", "ms batched"]
    asked = {"limit": options.limit, "timed": options.timed, "repeats": options.repeats}
    flags = "".join(
        f" --{name} {value}" for name, value in asked.items() if value is not None and value != parser.get_default(name)
    )
    name = None if options.tiny else "inversion"
    measures.report(name, f"{COMMAND}{flags}", columns, rows, note)


if __name__ == "__main__":
    main()
