"""Figures of the code: counted right on a small package, and beside those of a commit."""

import subprocess

import pytest

from experiments import house

TOP = '''"""Whether it works."""
from vaelab.inner import part
import vaelab.inner.part


def _twice(made):
    """Double.

    Twice.
    """
    total = 2 * made

    return total


class Shelf:
    def of(self):
        return part
'''


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A checkout of two small packages."""
    write(tmp_path / "vaelab" / "__init__.py", "")
    write(tmp_path / "vaelab" / "top.py", TOP)
    write(tmp_path / "vaelab" / "inner" / "__init__.py", "")
    write(tmp_path / "vaelab" / "inner" / "part.py", "def run():\n    pass\n")
    write(tmp_path / "experiments" / "solo.py", "def run():\n    pass\n")
    monkeypatch.setattr(house, "ROOT", tmp_path)
    monkeypatch.setattr(house, "ROWS", {"vaelab": [{"top"}, {"inner"}], "experiments": [{"solo"}]})
    monkeypatch.setattr(house, "TIMED", {"vaelab": ("vaelab.inner.part",)})
    return tmp_path


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_figures(root):
    assert house.figures(root / "vaelab") == {
        "files": 4,
        "lines": len(TOP.splitlines()) + 2,
        "functions": 3,
        "public functions and classes": 2,
        "median body, lines": 1.0,
        "longest body, lines": "3 (_twice)",
        "bindings": 7,
        "bindings that say nothing": "2 (28.6%)",
        "docstrings that ask": 1,
    }


def test_arrows_are_counted(root):
    graph = house.arrows(root / "vaelab")
    assert graph == {("top", "inner"): 2}
    assert house.verdict(graph, [{"top"}, {"inner"}]) == "no upward arrow, no circle"
    assert house.verdict(graph, [{"inner"}, {"top"}]) == "upward arrow: top -> inner"
    assert house.verdict(graph, [{"inner", "top"}]) == "upward arrow: top -> inner"
    assert house.verdict(graph, [{"inner"}]) == "place without a row: top"


def test_a_circle_is_seen(root):
    write(root / "vaelab" / "inner" / "part.py", "from vaelab.lower import deep\n")
    write(root / "vaelab" / "lower.py", "from vaelab import inner\n")
    write(root / "vaelab" / "apart.py", "from vaelab import lower\n")
    assert house.circular(house.arrows(root / "vaelab")) == ["inner", "lower"]
    rows = [{"top"}, {"inner"}, {"lower"}]
    assert (
        house.verdict(house.arrows(root / "vaelab"), rows)
        == "upward arrow: lower -> inner; circle: inner, lower; place without a row: apart"
    )


def test_relative_imports_are_refused(root):
    write(root / "vaelab" / "inner" / "part.py", "from .. import top\n")
    with pytest.raises(ValueError, match=r"part.py:1: expected an absolute import"):
        house.arrows(root / "vaelab")


def test_figures_stand_beside_those_of_a_commit(root, capsys):
    git = ["git", "-C", str(root), "-c", "user.name=x", "-c", "user.email=x@localhost"]
    for command in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "-m", "first"]):
        subprocess.run([*git, *command], check=True)
    write(root / "vaelab" / "more.py", "from vaelab import top\n")
    house.main(["--against", "HEAD"])
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["vaelab", "HEAD", "now"] in lines
    assert ["files", "4", "5"] in lines
    assert ["more", "->", "top", "-", "1"] in lines
    assert ["HEAD:", "no", "upward", "arrow,", "no", "circle"] in lines
    assert ["now:", "place", "without", "a", "row:", "more"] in lines
    (timed,) = [line for line in lines if line[:2] == ["import", "vaelab.inner.part,"]]
    assert all(0 < float(seconds) < 60 for seconds in timed[-2:])


def test_an_unknown_commit_is_refused(root, capsys):
    with pytest.raises(SystemExit):
        house.main(["--against", "nothing"])
    assert "--against: expected a commit, found nothing" in capsys.readouterr().err
