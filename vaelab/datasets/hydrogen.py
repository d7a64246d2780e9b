"""Hydrogen drum kits: which instrument each sound of a kit is, from its `drumkit.xml`.

Kits come from strangers: the parser refuses document types (and with them entities), large files and deep nesting,
and the file names inside are only ever compared with names that a scan found.
"""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree
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
    """A drum kit."""

    name: str  # as its author wrote it
    # name of the instrument that plays each file (by its name inside the kit's folder)
    instruments: dict[str, str] = field(default_factory=dict)
    licence: str = ""  # as its author wrote it; empty if the kit names none

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
    root = _parsed(text)
    if root.tag not in ("drumkit_info", "drumkit"):
        raise KitError(f"expected a drumkit.xml, found one of {root.tag!a}")
    instruments: dict[str, str] = {}
    for instrument in root.iter("instrument"):
        name = _text(instrument.find("name"))
        for played in filter(None, map(_text, instrument.iter("filename"))):
            _add(instruments, played, name)
    return Kit(_text(root.find("name")) or Path(path).absolute().parent.name, instruments, _text(root.find("license")))


class _Builder(ElementTree.TreeBuilder):
    """Builds elements without their namespaces; refuses deep nesting and long names."""

    depth = 0

    def start(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise KitError(f"expected a drumkit.xml nested at most {MAX_DEPTH} deep, found a deeper one")
        return super().start(tag.rpartition(":")[2], attributes)

    def end(self, tag: str) -> ElementTree.Element:
        self.depth -= 1
        element = super().end(tag.rpartition(":")[2])
        if element.tag == "name" and len(_text(element)) > MAX_NAME:
            raise KitError(f"expected names of at most {MAX_NAME} characters, found one of {len(_text(element))}")
        return element


def _parsed(text: bytes) -> ElementTree.Element:
    builder, parser = _Builder(), expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse_doctype
    parser.StartElementHandler, parser.EndElementHandler = builder.start, builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(text, True)
    except (expat.ExpatError, ValueError, LookupError) as error:
        raise KitError(f"expected a drumkit.xml, found damaged XML: {error}") from error
    return builder.close()


def _refuse_doctype(*_) -> None:
    raise KitError("expected a drumkit.xml without document type, found one: it could define harmful entities")


def _text(element: ElementTree.Element | None) -> str:
    return (element.text or "").strip() if element is not None else ""


def _add(instruments: dict[str, str], played: str, name: str) -> None:
    """Several instruments may play one file; it keeps a name only if they mean the same class."""
    first = instruments.setdefault(played, name)
    if drum_class(first) is None:
        instruments[played] = name
    elif drum_class(name) not in (None, drum_class(first)):
        instruments[played] = ""
