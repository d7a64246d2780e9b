"""Hydrogen drum kits: which instrument each sound of a kit is, from its `drumkit.xml`.

Kits come from strangers: the parser refuses document types (and with them entities), large files and deep nesting,
and the file names inside are only ever compared with names that a scan found.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from vaelab import VaelabError, files

FILE_NAME = "drumkit.xml"
MAX_BYTES = 4 << 20
MAX_DEPTH = 32
MAX_NAME = 200  # characters: names become labels, and are searched for words

# A name's words decide its class; the first line that matches wins. Names that match none stay unlabelled.
CLASSES = (
    ("rim", r"rim|stick"),
    ("kick", r"kick|bass ?drum|\bbd\b"),
    ("clap", r"clap"),
    ("snap", r"snap"),
    ("snare", r"snare|\b(sn|sd)\b"),
    ("pedal_hat", r"(hat|\bhh).*(pedal|foot|\bpd\b)|(pedal|foot).*(hat|\bhh)"),
    ("open_hat", r"(hat|\bhh).*\b(semi|open|opened|op\b)|(open|semi).*(hat|\bhh)|\bohh\b"),
    ("closed_hat", r"(hat|\bhh).*\b(close|closed|cl)\b|close.*(hat|\bhh)|\bchh\b"),
    ("tom", r"\btom"),
    ("cymbal", r"crash ride|ride crash|cymbal"),
    ("crash", r"crash"),
    ("splash", r"splash"),
    ("china", r"china"),
    ("ride", r"ride\b"),
    ("cowbell", r"cow ?bell"),
    ("bell", r"agogo|\bbell"),
    ("tambourine", r"tambourine"),
    ("shaker", r"shake|maraca|cabasa"),
    ("wood", r"clave|wood ?block"),
    ("hand_drum", r"bongo|conga|djembe|cajon|timbale|dununba|sangban|kenkeni"),
    ("triangle", r"triangle"),
    ("whistle", r"whistle"),
)


class KitError(VaelabError):
    """A drumkit.xml that cannot be used; the message says what was expected and found."""


@dataclass
class Kit:
    """A drum kit.

    Attributes:
        name: As its author wrote it.
        instruments: Name of the instrument that plays each file (by its name inside the kit's folder).
    """

    name: str
    instruments: dict[str, str] = field(default_factory=dict)

    def drum_class(self, name: str) -> str | None:
        """The usual drum class of a file, or None where the kit does not tell."""
        return drum_class(self.instruments.get(name, ""))


def drum_class(instrument: str) -> str | None:
    """The usual drum class that an instrument's name means ("Hi-Hat Closed (Paiste)" is a closed_hat), or None."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", instrument)
    words = " ".join(re.findall(r"[a-z]+", apart.lower()))
    return next((name for name, pattern in CLASSES if re.search(pattern, words)), None)


def read_kit(path: str | os.PathLike) -> Kit:
    """Parse a `drumkit.xml`.

    Raises:
        KitError: It cannot be read, is too large, is not a drum kit, or declares a document type.
    """
    try:
        with files.regular(path) as handle, open(os.dup(handle), "rb") as file:
            text = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise KitError(f"expected a drumkit.xml; {error.strerror}") from error
    if len(text) > MAX_BYTES:
        raise KitError(f"expected a drumkit.xml of at most {MAX_BYTES >> 20} MiB, found a larger one")
    reading = _Reading()
    try:
        reading.parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise KitError(f"expected a drumkit.xml, found damaged XML: {error}") from error
    if reading.root not in ("drumkit_info", "drumkit"):
        raise KitError(f"expected a drumkit.xml, found one of {reading.root!a}")
    return Kit(reading.kit_name or Path(path).absolute().parent.name, reading.instruments)


class _Reading:
    """State of the parser while a document is read."""

    def __init__(self):
        self.root, self.kit_name, self.instruments = "", "", {}
        self._open: list[str] = []
        self._text, self._instrument = [], ""
        self._played: list[str] = []
        self.parser = expat.ParserCreate()
        self.parser.StartDoctypeDeclHandler = self._refuse
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _refuse(self, *_) -> None:
        raise KitError("expected a drumkit.xml without document type, found one: it could define harmful entities")

    def _start(self, tag: str, _attributes: dict[str, str]) -> None:
        tag = tag.rpartition(":")[2]
        self.root = self.root or tag
        self._open.append(tag)
        self._text = []
        if len(self._open) > MAX_DEPTH:
            raise KitError(f"expected a drumkit.xml nested at most {MAX_DEPTH} deep, found a deeper one")
        if tag == "instrument":
            self._instrument, self._played = "", []

    def _characters(self, text: str) -> None:
        self._text.append(text)

    def _end(self, tag: str) -> None:
        tag, text = self._open.pop(), "".join(self._text).strip()
        inside = self._open[-1:]
        if tag == "name" and len(text) > MAX_NAME:
            raise KitError(f"expected names of at most {MAX_NAME} characters, found one of {len(text)}")
        if tag == "name" and inside == ["instrument"]:
            self._instrument = text
        elif tag == "name" and len(self._open) == 1:
            self.kit_name = text
        elif tag == "filename" and text:
            self._played.append(text)
        elif tag == "instrument":  # its name may come after its files
            for name in self._played:
                self._add(name)
        self._text = []

    def _add(self, name: str) -> None:
        """Several instruments may play one file; it keeps a name only if they mean the same class."""
        first = self.instruments.setdefault(name, self._instrument)
        if drum_class(first) is None:
            self.instruments[name] = self._instrument
        elif drum_class(self._instrument) not in (None, drum_class(first)):
            self.instruments[name] = ""
