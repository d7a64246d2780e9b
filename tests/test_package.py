"""The package as a whole: what importing it costs, which way imports run, what is in the tree."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "vaelab"

# Each room may import only from the rows below its own; rooms of one row do not know each other.
FLOORS = [
    {"cli"},
    {"commands", "workspace"},
    {"widgets", "app"},
    {"soundmap"},
    {"mixer", "confusions"},
    {"player", "controls"},
    {"plots", "remake", "tables", "doctor", "transcode"},
    {"tool"},
    {"generator"},
    {"arguments"},
    {"rendering", "mixing", "prior", "layout"},
    {"train", "library", "latent", "provenance", "shipped"},
    {"logdir", "feed", "bar", "classifier", "reference", "index", "cutting"},
    {"evaluate", "schedule", "steps", "data", "store", "checkpoint", "stages"},
    {"features", "tape"},
    {"hover"},
    {"spectral", "slicing", "synth", "model", "scan", "manifest", "shown", "mapview", "labels"},
    {"audio", "flows", "hydrogen", "segments", "estimate", "devices", "augment", "seen", "networks"},
    {"timbre", "reading"},
    {
        *("config", "files", "decoders", "workers", "splitting", "riff", "descriptors", "directions", "principal"),
        *("search", "sealed", "latest", "compiled"),
    },
    {"shelf"},
]
HEAVY = ("jax", "flax", "librosa", "umap", "matplotlib", "ipywidgets", "numba")


def rooms():
    return sorted(path.stem for path in PACKAGE.glob("*.py") if path.stem != "__init__")


def imports_of(room: str) -> set[str]:
    tree = ast.parse((PACKAGE / f"{room}.py").read_text(encoding="utf-8"))
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "vaelab":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vaelab."):
            found.add(node.module.split(".")[1])
    return found & set(rooms())


@pytest.mark.parametrize("room", rooms())
def test_imports_run_downwards(room):
    floor = {name: level for level, names in enumerate(FLOORS) for name in names}
    assert room in floor, f"give {room} a floor"
    upwards = {name for name in imports_of(room) if floor[name] <= floor[room]}
    assert not upwards


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


def test_import_costs_hardly_more_than_numpy():
    clock = "import time; start = time.perf_counter(); import {}; print(time.perf_counter() - start)"
    ours = min(float(run(clock.format("vaelab"))) for _ in range(3))
    numpys = min(float(run(clock.format("numpy"))) for _ in range(3))
    assert ours <= 1.3 * numpys + 0.2


def test_public_names_exist():
    import vaelab

    for name in vaelab.__all__:
        assert getattr(vaelab, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'SoundSample'"):
        _ = vaelab.SoundSample


@pytest.mark.parametrize("room", rooms())
def test_nothing_loaded_can_run_code(room):
    source = (PACKAGE / f"{room}.py").read_text(encoding="utf-8")
    for banned in (r"\bpickle\b", r"joblib\.load", r"\beval\(", r"\bexec\(", r"yaml\.load", r"allow_pickle\s*=\s*True"):
        assert not re.search(banned, source), banned


def test_no_audio_is_tracked():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout
    assert not re.findall(r"\.(?:wav|aiff?|flac|mp3|ogg)$", listed, re.MULTILINE)
