"""A sound font to a folder of sounds: a WAV for each, in sub-folders by preset, with the font named in its recipe."""

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vaelab import audio, files
from vaelab.audio import soundfont
from vaelab.audio.soundfont import SoundFont, SoundFontError
from vaelab.config import AudioConfig
from vaelab.progress import progress_bar
from vaelab.text import printable

FILE = "soundfont.json"
FORMAT = 1
HELD_S = AudioConfig().clip_seconds
SHORTEST_S, LONGEST_S = 0.1, 30.0  # of held notes
MOST_BYTES = 8 << 30  # of all sounds: a font of a megabyte can claim terabytes
RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)", re.IGNORECASE)  # no names of folders on Windows
SAMPLE_BYTES = 2


@dataclass(frozen=True)
class Unpacked:
    """A sound font that was unpacked."""

    sha256: str  # of the font's bytes
    seconds: float  # of held notes
    info: dict[str, str]  # the font's own words: "name", "engineers", "copyright", "comment"
    sounds: int
    skipped: dict[str, str]  # samples that are not used, by the name that their file would have, and why

    def report(self, folder: str | os.PathLike) -> str:
        """Summary in a few lines."""
        lines = [f"{self.sounds} sounds in {printable(folder)}; notes that loop are held for {self.seconds:g} s"]
        lines += [f"  {key}: {_one_line(text)}" for key, text in self.info.items()]
        lines += [f"  skipped {printable(name)}: {reason}" for name, reason in list(self.skipped.items())[:5]]
        return "\n".join([*lines, *([f"  skipped {len(self.skipped)} in all"] if len(self.skipped) > 5 else [])])


def unpack(
    path: str | os.PathLike,
    out_dir: str | os.PathLike,
    *,
    seconds: float = HELD_S,
    overwrite: bool = False,
    progress: bool = True,
) -> Unpacked:
    """Write the sounds of a sound font as WAVs into OUT_DIR/PRESET; those that no preset plays into OUT_DIR itself.

    Stereo pairs become stereo files. A folder into which this very font was unpacked before stays as it is, without
    the sounds that a person has removed since.

    Args:
        path: An .sf2 or .sf3 file.
        out_dir: Folder of the sounds.
        seconds: Length of notes whose samples loop; all others are as long as they were recorded.
        overwrite: Also replace sounds of before that another program has changed.
        progress: Show a bar.

    Raises:
        AudioError: The file is missing.
        SoundFontError: It is no sound font or is damaged, none of its sounds can be used, they are too large, or the
            folder belongs to another font.
        TakenError: A sound would take the place of a file that vaelab did not write.
    """
    path, folder = files.from_home(path), files.from_home(out_dir)
    if not SHORTEST_S <= seconds <= LONGEST_S:
        raise SoundFontError(path, f"seconds: expected {SHORTEST_S:g} to {LONGEST_S:g}, found {seconds}")
    with soundfont.open_font(path) as font:
        sha256 = files.content_hash(path)
        before = _before(folder, sha256)
        if before is not None and before.seconds == seconds:
            return before
        places = _places(font)
        for place in places.values():
            audio.check_replaceable(folder / place, [path], overwrite=overwrite)
        source = {"path": os.path.realpath(path), "sha256": sha256, "metadata": font.info}
        skipped = _write_sounds(font, folder, places, source, seconds, overwrite, progress)
    unpacked = Unpacked(sha256, seconds, font.info, len(places) - len(skipped), skipped)
    if not unpacked.sounds:
        reason = next(iter(skipped.values()), "it holds no samples")
        raise SoundFontError(path, f"expected sounds, found none that can be used: {reason}")
    files.write_text(folder / FILE, json.dumps({"format": FORMAT, **asdict(unpacked)}, indent=1))
    return unpacked


def _write_sounds(
    font: SoundFont,
    folder: Path,
    places: dict[tuple[soundfont.Sample, ...], str],
    source: dict[str, Any],
    seconds: float,
    overwrite: bool,
    progress: bool,
) -> dict[str, str]:
    """Write each sound to its place; the reasons for those that cannot be used."""
    skipped, room = {}, MOST_BYTES
    for samples, place in progress_bar(places.items(), show=progress, desc="unpacking", unit="sound"):
        try:
            played = font.play(samples, seconds)
        except SoundFontError as error:
            skipped[place] = error.reason
            continue
        if (room := room - SAMPLE_BYTES * played.size) < 0:
            raise SoundFontError(font.path, f"expected at most {MOST_BYTES >> 30} GiB of sound, found more")
        audio.write(
            folder / place, played, samples[0].rate, _recipe(font, samples, source, seconds), overwrite=overwrite
        )
    return skipped


def _recipe(
    font: SoundFont, samples: tuple[soundfont.Sample, ...], source: dict[str, Any], seconds: float
) -> dict[str, Any]:
    note = font.notes.get(samples[0].number)
    played = {"preset": note.preset, "instrument": note.instrument} if note else {}
    held = {"seconds": seconds} if note and note.loops else {}
    taken = [{"number": sample.number, "name": sample.name} for sample in samples]
    return {"format": 1, "call": "unpack", **played, **held, "sources": [{**source, "samples": taken}]}


def _places(font: SoundFont) -> dict[tuple[soundfont.Sample, ...], str]:
    """Paths of the sounds: the preset as folder, the sample's name and number as name.

    Folders that only differ in case become one, as they are one on some systems.
    """
    spelling: dict[str, str] = {}
    places = {}
    for samples in font.sounds():
        note, name = font.notes.get(samples[0].number), samples[0].name
        name = plain(name if len(samples) == 1 else soundfont.without_side(name)) or "sample"
        name = f"{name}_{samples[0].number:04d}.wav"
        if note is not None:
            folder = plain(note.preset) or "preset_{}-{}".format(*note.program)
            name = f"{spelling.setdefault(folder.lower(), folder)}/{name}"
        places[samples] = name
    return places


def plain(name: str) -> str:
    """A stranger's name as one for files on every system, without dots; empty if it has neither letter nor digit."""
    safe = re.sub(r"[^A-Za-z0-9 #+()&-]+", "_", name).strip(" _-")
    if not re.search(r"[A-Za-z0-9]", safe):
        return ""
    return f"{safe}_" if RESERVED.fullmatch(safe) else safe


def _before(folder: Path, sha256: str) -> Unpacked | None:
    """The sound font that was unpacked into a folder before, if any."""
    path = folder / FILE
    if not path.exists():
        return None
    try:
        text = json.loads(path.read_text(encoding="ascii"))
        if text.pop("format") != FORMAT:
            raise ValueError("another format")
        before = Unpacked(**text)
        info, skipped = (
            {str(key): str(value) for key, value in pairs.items()} for pairs in (before.info, before.skipped)
        )
        before = Unpacked(str(before.sha256), float(before.seconds), info, int(before.sounds), skipped)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SoundFontError(
            path, f"expected notes on an unpacked sound font, found damaged text: {error!r}"
        ) from error
    if before.sha256 != sha256:
        raise SoundFontError(
            folder, "expected sounds of this sound font, found those of another; choose another folder or remove it"
        )
    return before


def _one_line(text: str) -> str:
    return printable(" ".join(text.split()))[:200]
