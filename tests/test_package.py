"""The package as a whole: what importing it costs, which way imports run, what is in the tree."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import TypeCheckError

from experiments import house
from experiments.house import EMPTY, QUESTIONS, ROWS
from vaelab import flows, model, networks, spectral

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vaelab"
CODE = (r"\bpickle\b", r"joblib\.load", r"\beval\(", r"\bexec\(", r"yaml\.load", r"allow_pickle\s*=\s*True")
HEAVY = ("jax", "flax", "librosa", "umap", "matplotlib", "ipywidgets", "numba")
# Of scipy each part alone takes a tenth of a second or more, through what its array API imports.
NEEDLESS = (
    "scipy.signal",
    "scipy.stats",
    "scipy.ndimage",
    "scipy.fft",
    "scipy.sparse",
    "optax",
    "sklearn",
    "pandas",
    "vaelab.data",
    "vaelab.slicing",
    "vaelab.training",
)


def doors(folder: str) -> list[str]:
    return importlib.import_module(f"vaelab.{folder}").__all__


def folders() -> list[str]:
    return sorted(path.parent.name for path in PACKAGE.glob("*/__init__.py"))


@pytest.mark.parametrize("package", ROWS)
def test_imports_run_downwards(package):
    folder, rows = ROOT / package, ROWS[package]
    names = [name for row in rows for name in row]
    assert sorted(names) == sorted({house.place(folder, path) for path in house.modules(folder)})
    graph = house.arrows(folder)
    for (start, end), count in graph.items():
        print(f"{start:10} -> {end:10} {count}")
    assert house.upward(graph, rows) == []
    assert house.circular(graph) == []


def test_nobody_enters_a_folder_but_through_its_doors():
    entered = {
        (str(path.relative_to(ROOT)), folder, name)
        for path in [*house.modules(PACKAGE), *ROOT.glob("experiments/**/*.py"), *ROOT.glob("notebooks/*.py")]
        for folder, name in [*house.imports(path), *attributes(path)]
        if folder in folders()
        and name is not None
        and not (path.is_relative_to(PACKAGE) and house.place(PACKAGE, path) == folder)
    }
    windows = {(path, folder, name) for path, folder, name in entered if name not in doors(folder)}
    assert not windows


def attributes(path: Path) -> list[tuple[str, str]]:
    """(folder, name) of each `folder.name` in a file that says `from vaelab import folder`."""
    taken = {name for name, inside in house.imports(path) if inside is None}
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [
        (node.value.id, node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in taken
    ]


@pytest.mark.parametrize("folder", folders())
def test_every_door_opens(folder):
    module = importlib.import_module(f"vaelab.{folder}")
    assert module.__doc__
    assert all(getattr(module, name) is not None for name in module.__all__)


def bound(node: ast.AST) -> str | None:
    """The name that a node binds: of a function, a class, an argument or a variable."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return node.name
    if isinstance(node, ast.Name):
        return node.id if isinstance(node.ctx, ast.Store) else None
    return node.arg if isinstance(node, ast.arg) else None


def test_names_say_something():
    """`EMPTY` words alone are no names, but of two fields that stand in files and tables of before."""
    paths = [*house.modules(PACKAGE), *ROOT.glob("experiments/**/*.py")]
    nodes = [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    names = {(path.name, bound(node)) for path, node in nodes if bound(node)}
    empty = {pair for pair in names if pair[1].strip("_").lower() in EMPTY}
    assert empty == {("segments.py", "found"), ("tool.py", "known")}


@pytest.mark.parametrize(
    "call",
    [
        lambda: flows.mask(np.zeros((2, 2), int), np.zeros(2, int), strict=True),
        lambda: networks.patches(jnp.zeros((2, 3)), 2),
        lambda: model.negative_elbo(jnp.zeros(3)),
        lambda: spectral.quantise(np.zeros(3, int)),
    ],
    ids=["flows", "networks", "model", "spectral"],
)
def test_shapes_are_checked_here(call):
    """Else the annotations of these modules would be mere words."""
    with pytest.raises(TypeCheckError):
        call()


def test_docstrings_are_statements():
    paths = [*house.modules(PACKAGE), *ROOT.glob("experiments/**/*.py")]
    nodes = [(path, node) for path in paths for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))]
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef)
    texts = [(path.name, ast.get_docstring(node) or "-") for path, node in nodes if isinstance(node, kinds)]
    assert [text for text in texts if text[1].split()[0].strip(",:") in QUESTIONS] == []


def run(code: str) -> str:
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return finished.stdout.strip()


def test_import_is_lazy():
    loaded = run(f"import sys, vaelab; print([name for name in {HEAVY} if name in sys.modules])")
    assert loaded == "[]"


def test_opening_the_tool_loads_no_faces():
    loaded = run(
        "import sys; from vaelab import SoundSampleTool;"
        "print([name for name in ('umap', 'matplotlib', 'ipywidgets', 'numba') if name in sys.modules])"
    )
    assert loaded == "[]"


def test_generate_and_regenerate_import_what_they_need_and_no_more(tmp_path):
    """By modules and not by time, of which other work on the machine takes its share: each of these takes long."""
    run(
        "import sys; from vaelab.cli import main;"
        f"new, again = {str(tmp_path / 'new.wav')!r}, {str(tmp_path / 'again.wav')!r};"
        "assert main(['generate', '--model', 'general', '--out-file', new]) == 0;"
        "assert main(['regenerate', new, '--out-file', again]) == 0;"
        f"needless = {(*HEAVY[2:], *NEEDLESS)};"
        "assert (loaded := [name for name in needless if name in sys.modules]) == [], loaded"
    )


def test_import_costs_hardly_more_than_numpy():
    clock = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    ours = min(float(run(clock.format("vaelab"))) for _ in range(3))
    numpys = min(float(run(clock.format("numpy"))) for _ in range(3))
    assert ours <= 1.3 * numpys + 0.2


def test_public_names_exist():
    import vaelab

    for name in vaelab.__all__:
        assert getattr(vaelab, name) is not None
    with pytest.raises(AttributeError, match="attribute SoundSample"):
        _ = vaelab.SoundSample


def test_nothing_loaded_can_run_code():
    for path in PACKAGE.rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        for banned in CODE:
            assert not re.search(banned, source), (path, banned)


def test_no_audio_is_tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert not re.findall(r"\.(?:wav|aiff?|flac|mp3|ogg)$", listed, re.MULTILINE)
