"""The modules in `static/`: small, joined in order, with names that do not meet."""

import re
from collections import Counter

import pytest

from vaelab.ui import scripts
from vaelab.ui.instrument import Instrument
from vaelab.ui.mapview import MapView
from vaelab.ui.pads import Pads
from vaelab.ui.player import Player

MODULES = sorted(scripts.STATIC.glob("*.js"))
TOP_LEVEL = re.compile(r"^(?:export )?(?:async )?(?:class|const|function) (\w+)", re.MULTILINE)
WIDGETS = {"instrument": Instrument, "map": MapView, "pads": Pads, "player": Player}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.name)
def test_a_module_is_read_in_one_sitting(path):
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") < 300
    assert text.startswith("// ")


@pytest.mark.parametrize("entry", WIDGETS)
def test_a_joined_script_stands_alone(entry):
    text = scripts.joined(entry)
    assert WIDGETS[entry]._esm == text
    assert not re.search(r"^import|\bimport\(", text, re.MULTILINE)
    assert re.findall(r"^export .*", text, re.MULTILINE) == [text[text.index("export ") :].split("\n", 1)[0]]
    assert max(Counter(TOP_LEVEL.findall(text)).values()) == 1


def test_what_is_needed_comes_first_and_once():
    text = scripts.joined("map")
    assert text.index("function sprite") < text.index("class Stamps") < text.index("class MapView")
    assert text.count("function element") == 1
