"""The sounds that experiments are judged on: Hydrogen's drum kits and Sonic Pi's samples, whole packs held out.

Both are Debian packages: `apt-get install hydrogen-drumkits sonic-pi-samples`. What else `general` is trained on, the
instruments of a sound font and words in several languages, comes with `fluid-soundfont-gm` and `ktuberling-data`;
foreign sounds, only to judge by, with `lmms-common`.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path

from vaelab import data
from vaelab.audio import synth
from vaelab.config import AudioConfig, ModelConfig
from vaelab.datasets import unpacking
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models.evaluate import Sounds
from vaelab.training import gather

HYDROGEN = Path("/usr/share/hydrogen/data/drumkits")
SONIC_PI = Path("/usr/share/sonic-pi/samples")
KITS = (
    "Audiophob",
    "BJA_Pacific",
    "ColomboAcousticDrumkit",
    "ElectricEmpireKit",
    "ForzeeStereo",
    "Gimme A Hand 1.0",
    "HardElectro1",
    "Millo-Drums_v.1",
    "Millo_MultiLayered2",
    "Millo_MultiLayered3",
    "The Black Pearl 1.0",
    "VariBreaks",
    "circAfrique v4",
    "rumpf_kit_z01_h2",
)  # of Debian's hydrogen-drumkits; other packages put more beside them
HYDROGEN_KITS = tuple(HYDROGEN / kit for kit in KITS)
FOLDERS = (*HYDROGEN_KITS, SONIC_PI)
FLUID = Path("/usr/share/sounds/sf2/FluidR3_GM.sf2")
# Presets of it that are held out: some of each family.
FLUID_HELD_OUT = (
    "Ahh Choir",
    "Alto Sax",
    "Banjo",
    "Cello",
    "Clavinet",
    "Electric Piano",
    "Flute",
    "Marimba",
    "Percussive Organ",
    "Picked Bass",
    "Slap Bass",
    "Synth Voice",
    "TR-808",
    "Trumpet",
    "Xylophone",
)
# Words, each language by a speaker or two; the last one is held out.
WORDS = Path("/usr/share/ktuberling/sounds")
VOICES = tuple(WORDS / language for language in ("ca", "da", "en", "fr", "lt", "ru"))
VOICES_HELD_OUT = ("ru",)
GENERAL = (*FOLDERS, FLUID, *VOICES)  # of the shipped model of that name
# Of Debian's lmms-common: sounds that no training and no choice of settings has met.
LMMS = Path("/usr/share/lmms/samples")
FOREIGN = tuple(LMMS / name for name in ("basses", "drums", "effects", "instruments", "latin", "misc", "stringsnpads"))
# More of them: letters and syllables, of klettres-data; chords, of hydrogen-drumkits-effects.
SPOKEN = Path("/usr/share/klettres")
GUITAR = HYDROGEN / "belofilms_GuitarStrums"
# The classes of drums that Hydrogen's instruments are told apart by.
CLASSES = ("kick", "snare", "rim", "clap", "closed_hat", "open_hat", "tom", "ride", "crash", "cowbell")
HELD_OUT = ("BJA_Pacific", "ElectricEmpireKit", "Audiophob", "VariBreaks")


class MissingSounds(Exception):
    """The real sounds are not installed, or a part of them only."""


def installed(folders: Sequence[Path] = FOLDERS) -> tuple[Path, ...]:
    """Folders of real sounds, once each of them is seen to hold sounds.

    Raises:
        MissingSounds: Some hold none: a figure must not come from fewer sounds than it says.
    """
    if missing := [folder for folder in folders if not _has_sounds(folder)]:
        raise MissingSounds(
            f"expected real sounds in {len(folders)} folders, found them in {len(folders) - len(missing)}; none in "
            f"{', '.join(map(str, missing))}; install the Debian packages hydrogen-drumkits, "
            "sonic-pi-samples, lmms-common, fluid-soundfont-gm, ktuberling-data, "
            "klettres-data and hydrogen-drumkits-effects"
        )
    return tuple(folders)


def installed_if_any(folders: Sequence[Path] = FOLDERS) -> tuple[Path, ...]:
    """As `installed`, but no folders at all where not a single one holds sounds."""
    return installed(folders) if any(map(_has_sounds, folders)) else ()


def _has_sounds(folder: Path) -> bool:
    if folder == FLUID:
        return folder.is_file()
    return folder.is_dir() and next(data.sound_files(folder), None) is not None


def of_general(folder: Path) -> tuple[Path, ...]:
    """Folders of the sounds that `general` was trained on, but for built-in ones; the sound font is unpacked into one.

    Raises:
        MissingSounds: Some are not there.
    """
    kits_and_words = tuple(place for place in (*FOLDERS, *VOICES) if place.name not in (*HELD_OUT, *VOICES_HELD_OUT))
    installed((*kits_and_words, FLUID))
    unpacking.unpack(FLUID, folder, progress=False)
    presets = (place for place in sorted(folder.iterdir()) if place.is_dir() and place.name not in FLUID_HELD_OUT)
    return (*kits_and_words, *presets)


def dataset(home: Path) -> data.Dataset:
    """The real sounds as a dataset below `home`.

    Raises:
        MissingSounds: The two packages are not there, or a part of them.
    """
    return data.make_dataset(
        installed(FOLDERS), "real", labels="hydrogen-instrument", hold_out=HELD_OUT, home=home, progress=False
    )


def built_in(home: Path) -> data.Dataset:
    """A few built-in sounds as a dataset below `home`, for short runs."""
    folder = synth.write_dataset(home / "sounds", per_class=4, sample_rate=16000, progress=False)
    return data.make_dataset([folder], "built_in", classes=True, train_ratio=0.75, home=home, progress=False)


def pack(dataset: data.Dataset, entry: data.Entry) -> str:
    """The kit or folder that a sound belongs to."""
    root = Path(dataset.roots[entry.root])
    return root.name if root.parent == HYDROGEN else entry.path.split("/")[0]


def sides(
    dataset_of_sounds: data.Dataset, home: Path, audio: AudioConfig, model: ModelConfig | None = None
) -> tuple[Sounds, Sounds]:
    """Features of both sides, with the labels that a model knows; none without one."""
    store = FeatureStore(home / ".store", audio)
    store.build({entry.sha256: dataset_of_sounds.source(entry) for entry in dataset_of_sounds.entries}, progress=False)
    training, held_out = (
        gather(dataset_of_sounds, side, store, model or ModelConfig()) for side in ("train", "validation")
    )
    return training, held_out


def fingerprint(dataset_of_sounds: data.Dataset) -> str:
    """A hash of what is on which side."""
    lines = sorted(f"{entry.sha256} {entry.split}" for entry in dataset_of_sounds.entries)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]
