"""Scripts of widgets as anywidget takes them: one text each, joined from the modules in `static/`.

A module there imports by name from its neighbours (`import { Grid } from "./grid.js";`), as a browser loads it. The
text of an entry is that of the modules that it needs, each once and before its users; a name at their top is unique.
"""

import re
from pathlib import Path

STATIC = Path(__file__).parent / "static"
IMPORT = re.compile(r'^import \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)
EXPORT = re.compile(r"^export (?=async |class |const |function )", re.MULTILINE)


def joined(entry: str) -> str:
    """The text of the module `entry` (a name without suffix) and of all that it imports."""
    return "\n".join(EXPORT.sub("", IMPORT.sub("", _text(name))) for name in _order(entry, ()))


def styles(*names: str) -> str:
    """The text of style sheets, one after the other."""
    return "\n".join((STATIC / f"{name}.css").read_text(encoding="utf-8") for name in names)


def _order(name: str, before: tuple[str, ...]) -> tuple[str, ...]:
    """The modules `before`, and after them what `name` needs and they lack, and `name` itself."""
    if name in before:
        return before
    for needed in IMPORT.findall(_text(name)):
        before = _order(needed, before)
    return (*before, name)


def _text(name: str) -> str:
    return (STATIC / f"{name}.js").read_text(encoding="utf-8")
