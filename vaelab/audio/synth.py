"""Built-in sounds: a seeded synthesiser of industrial drums, metal, drones and machines (numpy, no JAX).

`KINDS` lists what can be made: for each kind a rendering function and the ranges of its continuous
parameters, so that built-in sounds come with their ground truth. A new kind is one small function and one
entry there. A `decay_s` is the time in which a sound falls by 60 dB.
"""

import json
import math
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy
import soundfile

from vaelab import files
from vaelab.audio.guard import check_replaceable
from vaelab.audio.reading import AudioError, read
from vaelab.audio.sound import write
from vaelab.progress import progress_bar

TRUTH = "parameters.json"
_NEPERS = 3 * math.log(10)  # exp(-_NEPERS) is -60 dB
_MIN_SAMPLE_RATE = 8000  # Hz: below 0.45 of it, every kind still has a tone
_SEEDS_PER_SET = 1_000_000  # sound i of a set with seed s is sound(kind, s * _SEEDS_PER_SET + i)
_UNITS = {"hz": "Hz", "s": "s", "db": "dB", "octaves": "octaves", "cents": "cents"}  # by a name's ending
_MEMBRANE = np.array([1.0, 1.594, 2.136, 2.296, 2.653, 2.918])  # modes of an ideal drum head


@dataclass(frozen=True)
class Range:
    """A parameter's range in `unit` ("" for a pure number), drawn from log-uniformly if `log`."""

    low: float
    high: float
    unit: str
    log: bool

    def draw(self, rng: np.random.Generator) -> float:
        """Draw one value in [low, high]."""
        share = rng.random()
        if self.log:
            return min(self.low * (self.high / self.low) ** share, self.high)
        return self.low + (self.high - self.low) * share


@dataclass(frozen=True)
class Kind:
    """A kind of sound: `render(rng, sample_rate, **all but level_db) -> (samples,)`, and ranges by name."""

    render: Callable[..., np.ndarray]
    parameters: dict[str, Range]


# Building blocks. Signals are (samples,). A kind draws its irregularities before its noise, whose length
# depends on the sample rate, so that a seed gives the same strokes and modes at every rate.


def _times(seconds: float, sample_rate: int) -> np.ndarray:
    return np.arange(round(seconds * sample_rate)) / sample_rate


def _decay(times: np.ndarray, decay_s: float) -> np.ndarray:
    return np.exp(-_NEPERS * times / decay_s)


def _bell(frequencies_hz: np.ndarray, centre_hz: float | np.ndarray, octaves: float) -> np.ndarray:
    """A bell over log frequency: 1 at the centre, -3 dB half of `octaves` above and below."""
    return 2.0 ** (-2 * (np.log2(frequencies_hz / centre_hz) / octaves) ** 2)


def _noise(rng: np.random.Generator, samples: int, sample_rate: int, centre_hz: float, octaves: float):
    """Stationary noise whose power per octave is a bell."""
    length = scipy.fft.next_fast_len(samples, real=True)
    frequencies = np.maximum(scipy.fft.rfftfreq(length, 1 / sample_rate), 1.0)
    spectrum = scipy.fft.rfft(rng.standard_normal(length)) * _bell(frequencies, centre_hz, octaves)
    return scipy.fft.irfft(spectrum / np.sqrt(frequencies), length)[:samples]


def _ring(frequencies_hz, decays_s, gains, phases, samples: int, sample_rate: int) -> np.ndarray:
    """Decaying sines: sum_k gain_k exp(-_NEPERS t / decay_k) sin(2 pi f_k t + phase_k).

    Modes above 0.45 of the sample rate would alias and are left out. A geometric series splits at any index,
    z^(256 i + j) = (z^256)^i z^j, so that all modes at all samples are matrix products: of four blocks of 256
    samples each, small enough for BLAS to stay in this thread, as its own are slow on a busy machine.
    """
    modes = np.stack(np.broadcast_arrays(frequencies_hz, decays_s, gains, phases))
    frequencies_hz, decays_s, gains, phases = modes[:, frequencies_hz < 0.45 * sample_rate]
    exponents = (2j * np.pi * frequencies_hz - _NEPERS / decays_s) / sample_rate
    blocks = 256 * np.arange(4 * math.ceil(samples / 1024)).reshape(-1, 4, 1)
    starts = gains * np.exp(1j * phases + blocks * exponents)  # (blocks / 4, 4, modes)
    within = np.exp(np.outer(exponents, np.arange(256)))  # (modes, 256)
    return (starts.real @ within.imag + starts.imag @ within.real).ravel()[:samples]


def _glide(times: np.ndarray, sample_rate: int, pitch_hz: float, octaves: float, glide_s: float):
    """The phase (radians) of a tone that falls by `octaves` to `pitch_hz`, with time constant `glide_s`."""
    return 2 * np.pi * np.cumsum(pitch_hz * 2 ** (octaves * np.exp(-times / glide_s))) / sample_rate


def _strikes(times: np.ndarray, onsets_s: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Silence but for one sample at each onset."""
    train = np.zeros_like(times)
    train[np.searchsorted(times, onsets_s)] = strengths
    return train


def _fall(strikes: np.ndarray, decay_s: float, sample_rate: int) -> np.ndarray:
    """Let each strike decay: a one-pole filter."""
    return scipy.signal.lfilter([1], [1, -math.exp(-_NEPERS / (decay_s * sample_rate))], strikes)


def _blend(tone: np.ndarray, noise: np.ndarray, noisiness: float) -> np.ndarray:
    """Mix two signals, each scaled to a peak of 1."""
    return (1 - noisiness) * tone / np.abs(tone).max() + noisiness * noise / np.abs(noise).max()


# One function per kind: its sound at any level, before the fades.


def _kick(rng, sample_rate, *, pitch_hz, sweep_octaves, sweep_s, decay_s, click, drive_db):
    times = _times(decay_s, sample_rate)
    body = np.sin(_glide(times, sample_rate, pitch_hz, sweep_octaves, sweep_s)) * _decay(times, decay_s)
    beater = _decay(times, rng.uniform(0.01, 0.04)) * _noise(rng, times.size, sample_rate, 2000, 3)
    return _blend(np.tanh(10 ** (drive_db / 20) * body), beater, click)


def _snare(rng, sample_rate, *, pitch_hz, decay_s, wire_decay_s, brightness_hz, noisiness):
    times = _times(max(decay_s, wire_decay_s), sample_rate)
    modes = pitch_hz * _MEMBRANE * rng.uniform(0.97, 1.03, _MEMBRANE.size)
    skin = _ring(modes, decay_s / _MEMBRANE, _MEMBRANE**-1.5, 0, times.size, sample_rate)
    wires = _decay(times, wire_decay_s) * _noise(rng, times.size, sample_rate, brightness_hz, 3.5)
    return _blend(skin, wires, noisiness)


def _hat(rng, sample_rate, *, pitch_hz, brightness_hz, noisiness, attack_s, decay_s):
    times = _times(attack_s + decay_s, sample_rate)
    # Six square waves out of tune with each other, the recipe of the analogue drum machines.
    odd = np.arange(1, 60, 2)
    partials = np.outer(pitch_hz * rng.uniform(1, 3, 6), odd).ravel()
    gains = np.tile(1 / odd, 6) * _bell(partials, brightness_hz, 3.5)
    decays, phases = decay_s * rng.uniform(0.6, 1.1, partials.size), rng.uniform(0, 2 * np.pi, partials.size)
    plates = _ring(partials, decays, gains, phases, times.size, sample_rate)
    hiss = _decay(times, decay_s) * _noise(rng, times.size, sample_rate, brightness_hz, 4)
    return _blend(plates, hiss, noisiness) * (1 - np.exp(-3 * times / attack_s))


def _clap(rng, sample_rate, *, centre_hz, bandwidth_octaves, spacing_s, decay_s, room):
    hands = rng.integers(3, 6)
    onsets = spacing_s * (np.arange(hands) + rng.uniform(0, 0.4, hands))
    times = _times(onsets[-1] + decay_s, sample_rate)
    claps = _fall(_strikes(times, onsets, rng.uniform(0.6, 1, hands)), 2.5 * spacing_s, sample_rate)
    tail = _fall(_strikes(times, onsets[-1:], room), decay_s, sample_rate)
    return (claps + tail) * _noise(rng, times.size, sample_rate, centre_hz, bandwidth_octaves)


def _tom(rng, sample_rate, *, pitch_hz, sweep_octaves, decay_s, brightness, noisiness):
    times = _times(decay_s, sample_rate)
    phase = _glide(times, sample_rate, pitch_hz, sweep_octaves, 0.1 * decay_s)
    modes = [np.sin(ratio * phase) * _decay(times, decay_s / ratio) for ratio in _MEMBRANE]
    skin = brightness ** np.arange(_MEMBRANE.size) @ modes
    stick = _decay(times, rng.uniform(0.03, 0.15)) * _noise(rng, times.size, sample_rate, 1200, 4)
    return _blend(skin, stick, noisiness)


def _metal(rng, sample_rate, *, pitch_hz, stretch, brightness_hz, decay_s, damping, noisiness):
    times = _times(decay_s, sample_rate)
    body = _bar(rng, times.size, sample_rate, pitch_hz, stretch, brightness_hz, decay_s, damping)
    strike = _decay(times, rng.uniform(0.02, 0.1)) * _noise(rng, times.size, sample_rate, brightness_hz, 3)
    return _blend(body, strike, noisiness)


def _bar(rng, samples, sample_rate, pitch_hz, stretch, brightness_hz, decay_s, damping):
    """A struck bar or plate: modes near pitch k^stretch, none quite in place, the higher dying sooner."""
    modes = pitch_hz * np.arange(1, 33) ** stretch * rng.uniform(0.92, 1.08, 32)
    gains = rng.uniform(0.2, 1, 32) * _bell(modes, brightness_hz, 5)
    decays = decay_s * (modes[0] / modes) ** damping
    return _ring(modes, decays, gains, rng.uniform(0, 2 * np.pi, 32), samples, sample_rate)


def _drone(rng, sample_rate, *, pitch_hz, detune_cents, brightness_hz, noisiness, attack_s, length_s):
    times = _times(length_s, sample_rate)
    detuning = 2 ** (detune_cents / 1200 * np.array([-1, 1, 0.3]))
    voices = pitch_hz * detuning * np.array([1, 1, rng.choice([1, 1.5, 2])])
    harmonics = np.arange(1, 41)
    partials = np.outer(voices, harmonics).ravel()
    gains = np.tile(harmonics**-0.7, 3) / (1 + (partials / brightness_hz) ** 2)
    tone = _ring(partials, np.inf, gains, rng.uniform(0, 2 * np.pi, 120), times.size, sample_rate)
    tremolo = 1 - rng.uniform(0, 0.5) * (0.5 + 0.5 * np.sin(2 * np.pi * rng.uniform(0.3, 3) * times))
    swell = np.minimum(1, times / attack_s) * np.minimum(1, (length_s - times) / 0.3)
    return tremolo * swell * _blend(tone, _noise(rng, times.size, sample_rate, brightness_hz, 2), noisiness)


def _noise_burst(rng, sample_rate, *, centre_hz, bandwidth_octaves, sweep_octaves, attack_s, decay_s):
    times = _times(attack_s + decay_s, sample_rate)
    window = 2 ** round(math.log2(0.02 * sample_rate))
    frequencies, frames, spectra = scipy.signal.stft(rng.standard_normal(times.size), sample_rate, nperseg=window)
    centres = centre_hz * 2 ** (sweep_octaves * frames / times[-1])
    spectra *= _bell(np.maximum(frequencies, 1)[:, None], centres, bandwidth_octaves)
    burst = scipy.signal.istft(spectra, sample_rate, nperseg=window)[1][: times.size]
    return burst * np.minimum(1, times / attack_s) * _decay(np.maximum(0, times - attack_s), decay_s)


def _machine(rng, sample_rate, *, rate_hz, length_s, pitch_hz, decay_s, noisiness, unevenness):
    beats = np.arange(math.floor(length_s * rate_hz))
    times = _times(beats.size / rate_hz + decay_s, sample_rate)
    accents = np.where(beats % rng.integers(2, 5) == 0, 1, 0.6) * (1 - unevenness * rng.random(beats.size))
    clanks = _strikes(times, (beats + 0.5 * unevenness * rng.random(beats.size)) / rate_hz, accents)
    pistons = _strikes(times, (beats + rng.uniform(0.35, 0.65)) / rate_hz, accents)
    clank = _bar(rng, round(decay_s * sample_rate), sample_rate, pitch_hz, 1.5, 3 * pitch_hz, decay_s, 0.3)
    thump = np.sin(2 * np.pi * rng.uniform(50, 110) * times) * _decay(times, 0.15)
    hammer = scipy.signal.oaconvolve(clanks, clank)[: times.size]
    stroke = scipy.signal.oaconvolve(pistons, thump[: round(0.15 * sample_rate)])[: times.size]
    motor = _blend(hammer, stroke, rng.uniform(0.05, 0.3))
    steam = _fall(pistons, 0.5 / rate_hz, sample_rate) * _noise(rng, times.size, sample_rate, 3000, 3)
    return _blend(motor, steam, noisiness)


def _kind(render: Callable[..., np.ndarray], **limits: tuple[float, float]) -> Kind:
    """A kind from (low, high) by name: a name ends in its unit; Hz and seconds are drawn log-uniformly."""
    ranges = {}
    for name, (low, high) in {**limits, "level_db": (-12, -1)}.items():
        unit = _UNITS.get(name.rpartition("_")[2], "")
        ranges[name] = Range(low, high, unit, log=unit in ("Hz", "s"))
    return Kind(render, ranges)


# fmt: off
KINDS: dict[str, Kind] = {
    "kick": _kind(_kick, pitch_hz=(38, 80), sweep_octaves=(0.5, 3), sweep_s=(0.01, 0.08), decay_s=(0.18, 0.9),
                  click=(0.02, 0.6), drive_db=(0, 20)),
    "snare": _kind(_snare, pitch_hz=(140, 280), decay_s=(0.12, 0.8), wire_decay_s=(0.12, 0.8),
                   brightness_hz=(1000, 5000), noisiness=(0.1, 0.8)),
    "closed_hat": _kind(_hat, pitch_hz=(250, 700), brightness_hz=(5000, 13000), noisiness=(0.1, 0.9),
                        attack_s=(0.0005, 0.01), decay_s=(0.1, 0.55)),
    "open_hat": _kind(_hat, pitch_hz=(250, 700), brightness_hz=(5000, 13000), noisiness=(0.1, 0.9),
                      attack_s=(0.001, 0.03), decay_s=(0.6, 2.6)),
    "clap": _kind(_clap, centre_hz=(900, 2800), bandwidth_octaves=(0.8, 3), spacing_s=(0.007, 0.02),
                  decay_s=(0.1, 0.5), room=(0.05, 0.6)),
    "tom": _kind(_tom, pitch_hz=(60, 200), sweep_octaves=(0.05, 0.8), decay_s=(0.5, 2.6),
                 brightness=(0.1, 0.7), noisiness=(0.02, 0.3)),
    "metal": _kind(_metal, pitch_hz=(120, 1200), stretch=(0.9, 2), brightness_hz=(600, 6000),
                   decay_s=(0.4, 4), damping=(0.1, 0.6), noisiness=(0.02, 0.5)),
    "drone": _kind(_drone, pitch_hz=(35, 140), detune_cents=(2, 40), brightness_hz=(250, 4000),
                   noisiness=(0.02, 0.5), attack_s=(0.05, 1), length_s=(2, 4)),
    "noise_burst": _kind(_noise_burst, centre_hz=(200, 8000), bandwidth_octaves=(0.5, 4),
                         sweep_octaves=(-2, 2), attack_s=(0.001, 0.2), decay_s=(0.15, 1.5)),
    "machine": _kind(_machine, rate_hz=(2.5, 10), length_s=(1.2, 3), pitch_hz=(180, 1000),
                     decay_s=(0.05, 0.4), noisiness=(0.05, 0.6), unevenness=(0, 0.5)),
}
# fmt: on


def draw(kind: str, rng: np.random.Generator) -> dict[str, float]:
    """Draw every parameter of a kind within its range; an unknown kind is a ValueError."""
    return {name: limits.draw(rng) for name, limits in _checked_kinds(kind).parameters.items()}


def render(kind: str, parameters: dict[str, float], rng: np.random.Generator, sample_rate: int = 44100) -> np.ndarray:
    """Render one sound, float32 (samples,): as long as it lasts, faded at both ends, with its peak at `level_db`.

    Args:
        kind: A name in `KINDS`.
        parameters: A value for each of `KINDS[kind].parameters`, within its range, as from `draw`.
        rng: Source of noise and irregularities.
        sample_rate: Hz, at least 8000. Partials above 0.45 of it are left out.

    Raises:
        ValueError: An unknown kind, a missing, unknown or out-of-range parameter, or too low a rate.
    """
    _check(kind, parameters, sample_rate)
    shape = {name: value for name, value in parameters.items() if name != "level_db"}
    samples = KINDS[kind].render(rng, sample_rate, **shape)
    # Below 20 Hz there is nothing to hear, but an offset would click at the ends and shift every mix.
    samples = scipy.signal.sosfilt(scipy.signal.butter(2, 20, "highpass", fs=sample_rate, output="sos"), samples)
    samples *= _fades(samples.size, sample_rate)
    return (samples * 10 ** (parameters["level_db"] / 20) / np.abs(samples).max()).astype(np.float32)


def sound(kind: str, seed: int, sample_rate: int = 44100) -> tuple[np.ndarray, dict[str, float]]:
    """Draw and render one sound: the same for the same kind, seed (not negative) and rate; see `render`.

    Also returned are the parameters drawn, which are the same at every rate.
    """
    rng = np.random.default_rng([zlib.crc32(kind.encode()), seed])
    parameters = draw(kind, rng)
    return render(kind, parameters, rng, sample_rate), parameters


def write_dataset(
    root: str | Path,
    per_class: int = 40,
    *,
    seed: int = 0,
    sample_rate: int = 44100,
    kinds: Iterable[str] | None = None,
    progress: bool = True,
    overwrite: bool = False,
) -> Path:
    """Write sounds as ROOT/KIND/KIND_0001.wav and so on, and their ground truth as ROOT/parameters.json.

    The latter lists `path` (below ROOT, with slashes), `kind`, `seed` and `parameters` of each sound, which
    is `sound(kind, seed, sample_rate)`. Sound i of a kind depends on `seed`, the kind and i alone, so that a
    larger set begins with the smaller one. Built-in sounds of the same names are replaced, others only with
    `overwrite`. Without `kinds` all are written, `per_class` sounds (at most 999,999) of each.

    Returns:
        The root.

    Raises:
        ValueError: An unknown kind, or a number out of range.
        TakenError: A file of such a name is no built-in sound; nothing is written.
    """
    root, kinds = Path(root), list(KINDS if kinds is None else kinds)
    if not 1 <= per_class < _SEEDS_PER_SET:
        raise ValueError(f"per_class: expected 1 to {_SEEDS_PER_SET - 1}, found {per_class}")
    for kind in kinds:
        _checked_kinds(kind)
    wanted = [(kind, index) for kind in kinds for index in range(1, per_class + 1)]
    earlier = _seeds(root / TRUTH)
    for kind, index in wanted:
        path, sound_seed = _place(kind, index, seed)
        if not _is_built_in(root / path, kind, earlier.get(path, sound_seed)):
            check_replaceable(root / path, overwrite=overwrite)
    truth = []
    for kind, index in progress_bar(wanted, show=progress, desc="synthesising", unit="sound"):
        path, sound_seed = _place(kind, index, seed)
        samples, parameters = sound(kind, sound_seed, sample_rate)
        write(root / path, samples, sample_rate, overwrite=True)  # checked above
        truth.append({"path": path, "kind": kind, "seed": sound_seed, "parameters": parameters})
    files.write_text(root / TRUTH, json.dumps(truth, indent=1))
    return root


def is_built_in(path: str | Path) -> bool:
    """True if a file is a sound of `write_dataset`, sample by sample, as the ground truth of its set says."""
    path = Path(path)
    root, kind = path.parent.parent, path.parent.name
    seed = _seeds(root / TRUTH).get(f"{kind}/{path.name}")
    return seed is not None and kind in KINDS and _is_built_in(path, kind, seed)


def _place(kind: str, index: int, seed: int) -> tuple[str, int]:
    """Path in a set, and seed, of a sound."""
    return f"{kind}/{kind}_{index:04d}.wav", seed * _SEEDS_PER_SET + index


def _seeds(path: Path) -> dict[str, int]:
    """The seeds of an earlier set's sounds, by path; none where nothing of the sort can be read."""
    try:
        return {row["path"]: int(row["seed"]) for row in json.loads(path.read_bytes())}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}


def _is_built_in(path: Path, kind: str, seed: int) -> bool:
    """True if a file is this very sound, as `write_dataset` wrote it at whatever rate."""
    if not path.is_file() or path.is_symlink():
        return False
    try:
        rate = soundfile.info(path).samplerate
        samples, _ = sound(kind, max(0, seed), max(rate, _MIN_SAMPLE_RATE))
        stored = read(path, rate)
    except (AudioError, soundfile.LibsndfileError):
        return False
    return len(stored) == len(samples) and bool(np.allclose(stored, samples, rtol=0, atol=2 / 32768))


def _checked_kinds(kind: str) -> Kind:
    if kind not in KINDS:
        raise ValueError(f"kind: expected one of {', '.join(KINDS)}; found {kind!r}")
    return KINDS[kind]


def _check(kind: str, parameters: dict[str, float], sample_rate: int) -> None:
    ranges = _checked_kinds(kind).parameters
    if parameters.keys() != ranges.keys():
        raise ValueError(f"{kind}: expected parameters {', '.join(ranges)}; found {', '.join(parameters)}")
    for name, limits in ranges.items():
        if not limits.low <= parameters[name] <= limits.high:
            expected = f"{limits.low:g} to {limits.high:g} {limits.unit}".rstrip()
            raise ValueError(f"{kind}: {name}: expected {expected}, found {parameters[name]}")
    if sample_rate < _MIN_SAMPLE_RATE:
        raise ValueError(f"sample_rate: expected at least {_MIN_SAMPLE_RATE} Hz, found {sample_rate}")


def _fades(samples: int, sample_rate: int) -> np.ndarray:
    """A gain that rises from 0 in 0.5 ms and falls to 0 in 10 ms, each half a cosine."""
    index = np.arange(samples)
    ramp = np.minimum(index / (0.0005 * sample_rate), (samples - 1 - index) / (0.01 * sample_rate))
    return 0.5 - 0.5 * np.cos(np.pi * np.minimum(ramp, 1))
