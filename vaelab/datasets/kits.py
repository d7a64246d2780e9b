"""Sounds as a drum kit that other programs open: WAVs with their recipes, a `drumkit.xml` and an `.sfz`.

Hydrogen reads the folder (Drumkits > Import, or a link to it in `~/.hydrogen/data/drumkits`); samplers such as sfizz,
sforzando or LinuxSampler read the `.sfz`. Sound after sound lies on the keys from `FIRST_KEY` up.
"""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from vaelab import audio, files
from vaelab.audio import Recipe, Sound
from vaelab.datasets.hydrogen import FILE_NAME, MAX_NAME, KitError
from vaelab.text import printable

FIRST_KEY = 36  # as drum machines have it: C2, the bass drum of General MIDI
MOST = 128 - FIRST_KEY  # keys that are left
NAMESPACE = "http://www.hydrogen-music.org/drumkit"
LONGEST_STEM = 40  # characters of a file's name
# An instrument that plays its sample as it is. Hydrogen takes these elements in this order only (its drumkit.xsd).
PLAIN = {
    **{"volume": "1", "isMuted": "false", "isSoloed": "false", "pan_L": "1", "pan_R": "1"},
    **{"pitchOffset": "0", "randomPitchFactor": "0", "gain": "1", "applyVelocity": "true"},
    **{"filterActive": "false", "filterCutoff": "1", "filterResonance": "0"},
    **{"Attack": "0", "Decay": "0", "Sustain": "1", "Release": "1000"},  # samples
    **{"muteGroup": "-1", "midiOutChannel": "-1"},
}
PLAIN_AFTER_KEY = {
    **{"isStopNote": "false", "sampleSelectionAlgo": "VELOCITY", "isHihat": "-1", "lower_cc": "0", "higher_cc": "127"},
    **{f"FX{number}Level": "0" for number in (1, 2, 3, 4)},
}
COMPONENT = {"id": "0", "name": "Main", "volume": "1"}
LAYER = {"min": "0", "max": "1", "gain": "1", "pitch": "0"}


def save_kit(
    folder: str | os.PathLike,
    sounds: Sequence[Sound],
    names: Sequence[str] | None = None,
    *,
    title: str | None = None,
    bits: int = 16,
) -> Path:
    """Write sounds as a drum kit into a folder that is new or empty, the whole kit or none of it.

    `vaelab.datasets.hydrogen.read_kit(folder / "drumkit.xml")` reads it back; `vaelab.regenerate` makes each of its
    sounds again.

    Args:
        folder: Of the kit; nothing in it is ever replaced.
        sounds: 1 to `MOST`, mono or stereo, for the keys from `FIRST_KEY` up.
        names: Of the instruments; None takes what the recipes say.
        title: Of the kit; None is the folder's name.
        bits: Of the WAVs: 16, 24, or 32 (float).

    Returns:
        The folder.

    Raises:
        KitError: No sounds or too many, or not as many names.
        TakenError: The folder holds something, or a file has its name.
        AudioError: A sound that cannot be written.
    """
    folder, sounds = files.from_home(folder), list(sounds)
    if not 1 <= len(sounds) <= MOST:
        raise KitError(f"kit: expected 1 to {MOST} sounds, found {len(sounds)}")
    names = [_words(sound) for sound in sounds] if names is None else list(names)
    if len(names) != len(sounds):
        raise KitError(f"kit: expected a name for each of {len(sounds)} sounds, found {len(names)}")
    names = [_shortened(name) or f"sound {number}" for number, name in enumerate(names, start=1)]
    title = _shortened(folder.name if title is None else title) or "kit"
    _check_free(folder)
    samples = [f"{number:02}_{_plain(name, 'sound')}.wav" for number, name in enumerate(names, start=1)]
    with files.new_folder(folder) as place:
        for sample, sound in zip(samples, sounds, strict=True):
            sound.save(place / sample, bits=bits)
        files.write_text(place / FILE_NAME, drumkit_xml(title, names, samples), "utf-8")
        files.write_text(place / f"{_plain(title, 'kit')}.sfz", sfz(title, names, samples), "utf-8")
    return folder


def read_sound(path: str | os.PathLike) -> Sound:
    """A whole sound file as it is, with its rate, its channels (one or two), and its recipe if it has one.

    Raises:
        AudioError: It cannot be read.
    """
    path = files.from_home(path)
    with audio.stream(path) as (rate, _, _):
        pass
    recipe = Recipe(audio.read_recipe(path)).absolute(path.parent) if audio.has_recipe(path) else Recipe()
    return Sound(audio.read(path, rate, channels="source"), rate, recipe)


def drumkit_xml(title: str, names: Sequence[str], samples: Sequence[str]) -> str:
    """A `drumkit.xml` of a sample for each instrument."""
    root = ElementTree.Element("drumkit_info", {"xmlns": NAMESPACE})
    _fill(
        root, {"name": title, "author": "", "info": "made with vaelab", "license": "", "image": "", "imageLicense": ""}
    )
    components = ElementTree.SubElement(root, "componentList")
    _fill(ElementTree.SubElement(components, "drumkitComponent"), COMPONENT)
    instruments = ElementTree.SubElement(root, "instrumentList")
    for number, (name, sample) in enumerate(zip(names, samples, strict=True)):
        instrument = ElementTree.SubElement(instruments, "instrument")
        key = {"midiOutNote": str(FIRST_KEY + number)}
        _fill(instrument, {"id": str(number), "name": name, **PLAIN, **key, **PLAIN_AFTER_KEY})
        component = ElementTree.SubElement(instrument, "instrumentComponent")
        _fill(component, {"component_id": COMPONENT["id"], "gain": "1"})
        _fill(ElementTree.SubElement(component, "layer"), {"filename": sample, **LAYER})
    ElementTree.indent(root, " ")
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{ElementTree.tostring(root, encoding="unicode")}\n'


def sfz(title: str, names: Sequence[str], samples: Sequence[str]) -> str:
    """An instrument in the SFZ format: a key for each sample, which plays to its end."""
    lines = [f"// {title}", "// made with vaelab", "", "<group> loop_mode=one_shot", ""]
    for key, (name, sample) in enumerate(zip(names, samples, strict=True), start=FIRST_KEY):
        lines += [f"// {name}", f"<region> key={key} sample={sample}"]
    return "\n".join(lines) + "\n"


def _words(sound: Sound) -> str:
    """The words of a sound's recipe; empty without one."""
    return sound.recipe.words() if isinstance(sound.recipe, Recipe) else ""


def _check_free(folder: Path) -> None:
    """Refuse a folder that holds something, and what is no folder."""
    if os.path.lexists(folder) and not (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir())):
        raise audio.TakenError(
            folder, "expected a folder that is new or empty; nothing was written: choose another name"
        )


def _fill(element: ElementTree.Element, texts: dict[str, str]) -> None:
    for name, text in texts.items():
        ElementTree.SubElement(element, name).text = text


def _shortened(name: str) -> str:
    """A name as one printable line that `read_kit` takes."""
    return printable(name).strip()[:MAX_NAME].rstrip()


def _plain(name: str, otherwise: str) -> str:
    """A name of ASCII letters, digits, dots, dashes and underscores, which every program takes for a file."""
    plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("_.")[:LONGEST_STEM]
    return plain or otherwise
