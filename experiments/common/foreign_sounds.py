"""Foreign sounds: drums of other makers than the kits that models learn from, and voices. No choice may meet them.

Drums, with the class that their names tell: LMMS' samples, Sonic Pi's, and the percussion of the sound font Fluid R3
(Debian's `lmms-common`, `sonic-pi-samples`, `fluid-soundfont-gm`). A name that tells none of `CLASSES` gives None.
Voices: spoken letters, syllables and words (`klettres-data`, `ktuberling-data`).
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from experiments.common.measures import LEAST_PEAK
from experiments.common.real_sounds import CLASSES, FLUID, LMMS, SONIC_PI, SPOKEN, WORDS, installed
from vaelab import audio, data, spectral
from vaelab.config import AudioConfig
from vaelab.datasets import unpacking
from vaelab.datasets.hydrogen import drum_class

LMMS_DRUMS = LMMS / "drums"
SONIC_PI_DRUMS = re.compile(r"bd_|sn_|drum_|elec_")
PRESETS = re.compile(r"Standard|Room|Power|Brush|Orchestra Kit|TR-808|Electronic|808 Tom|Mel|Synth Drum|Concert Bass")
# Sonic Pi's names that `drum_class` does not read.
SONIC_PI_CLASSES = {
    "drum_bass_hard": "kick",
    "drum_bass_soft": "kick",
    "drum_cymbal_closed": "closed_hat",
    "drum_cymbal_open": "open_hat",
}
FLUID_SNARES = re.compile(r"Snr|RmPwr|Piccolo")
FLUID_OTHERS = re.compile(r"Sticks|Bongo|China")  # names that `drum_class` takes for a rim shot or a crash
VOICES = {
    "KLettres": [SPOKEN / language for language in ("da", "en_GB", "it", "ml", "uk")],
    "KTuberling": [WORDS / language for language in ("ca", "en", "fr", "lt", "ru")],
}


class Drums(NamedTuple):
    """The drums of a source.

    Attributes:
        paths: Of the files.
        features: uint8 (sounds, frames, mels).
        labels: Indices of `CLASSES` (sounds,), -1 where the name tells none.
    """

    paths: list[Path]
    features: np.ndarray
    labels: np.ndarray


def drums(scratch: Path, config: AudioConfig) -> dict[str, Drums]:
    """The foreign drums by source; the sound font is unpacked below `scratch`.

    Raises:
        MissingSounds: A source is not installed.
    """
    installed((LMMS_DRUMS, SONIC_PI, FLUID))
    unpacking.unpack(FLUID, scratch / "fluid", progress=False)
    fluid = [path for path in sorted(scratch.glob("fluid/*/*.wav")) if PRESETS.match(path.parent.name)]
    sonic_pi = [path for path in sorted(SONIC_PI.iterdir()) if SONIC_PI_DRUMS.match(path.name)]
    return {
        "LMMS": gather(sorted(LMMS_DRUMS.iterdir()), lambda path: drum_class(path.stem), config),
        "Sonic Pi": gather(sonic_pi, sonic_pi_class, config),
        "Fluid R3": gather(fluid, fluid_class, config),
    }


def voices(count: int, config: AudioConfig, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Features of so many voices of each source, uint8 (sounds, frames, mels).

    Raises:
        MissingSounds: A source is not installed.
    """
    parts = {}
    for source, folders in VOICES.items():
        paths = [path for folder in installed(folders) for path in data.sound_files(folder)]
        chosen = [paths[number] for number in rng.permutation(len(paths))[:count]]
        parts[source] = gather(chosen, lambda _: None, config).features
    return parts


def tones(rng: np.random.Generator, count: int, rate: int, seconds: float) -> Iterator[np.ndarray]:
    """Sines from 100 Hz to 4 kHz that die away, within 0.02 to 0.6 s to 1/e: (samples,) each, at a rate in Hz."""
    time_s = np.arange(round(seconds * rate)) / rate
    for frequency in np.exp(rng.uniform(np.log(100), np.log(4000), count)):
        decay = np.exp(-time_s / rng.uniform(0.02, 0.6))
        yield (0.5 * np.sin(2 * np.pi * frequency * time_s) * decay).astype(np.float32)


def sonic_pi_class(path: Path) -> str | None:
    """The class of one of Sonic Pi's drums."""
    return SONIC_PI_CLASSES.get(path.stem) or drum_class(path.stem)


def fluid_class(path: Path) -> str | None:
    """The class of a drum of Fluid R3, whose toms are named after the studio, and snares in short."""
    name = re.sub(r"_\d+$", "", path.stem)
    if FLUID_OTHERS.search(name):
        return None
    if FLUID_SNARES.search(name):
        return "snare"
    return "tom" if "Studio" in name else drum_class(name.replace("Crsh", "crash"))


def gather(paths: list[Path], classify: Callable[[Path], str | None], config: AudioConfig) -> Drums:
    """Features and labels of the audible ones of these files."""
    clips = {path: audio.read_clip(path, config.sample_rate, None, config.clip_seconds)[1] for path in paths}
    audible = {path: samples for path, samples in clips.items() if np.abs(samples).max() >= LEAST_PEAK}
    labels = [CLASSES.index(name) if (name := classify(path)) in CLASSES else -1 for path in audible]
    return Drums(list(audible), stored(list(audible.values()), config), np.array(labels, np.int32))


def stored(clips: list[np.ndarray], config: AudioConfig) -> np.ndarray:
    """Features as the store keeps them, uint8 (sounds, frames, mels), of clips of any length."""
    whole = np.stack([spectral.fit_length(samples, config) for samples in clips])
    parts = [np.asarray(spectral.stored_mel(sound[None], config)[0]) for sound in whole]
    return np.concatenate(parts)
