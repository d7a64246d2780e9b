"""The notebooks: clean in git, each on its own, and top to bottom as `make demo` runs them."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
import quickly

from vaelab import audio
from vaelab.audio import built_in_tape

FOLDER = Path(__file__).parent.parent / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
EACH = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
FAST = {"VAELAB_FAST": "1", "TQDM_DISABLE": "1"}


def code_cells(path):
    return [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]


def run_all(out, *names, cwd=None, **environment):
    """`notebooks/run.py` as `make demo` calls it."""
    return subprocess.run(
        [sys.executable, FOLDER / "run.py", "--out", out, *names],
        env={**quickly.as_users(), **FAST, **environment},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


def errors(executed):
    """What cells wrote to stderr, progress bars excepted."""
    for cell in executed:
        for output in cell.outputs:
            if output.output_type == "stream" and output.name == "stderr":
                yield from (line for line in output.text.splitlines() if line.strip() and "%|" not in line)


def test_all_are_there():
    names = [
        "01_dataset",
        "02_training",
        "03_latent_map",
        "04_mixer",
        "05_transcode_a_tape",
        "06_flow",
        "07_experiments",
    ]
    assert [path.stem for path in NOTEBOOKS] == names


@EACH
def test_is_clean_in_git(path):
    notebook = json.loads(path.read_text(encoding="utf-8"))
    nbformat.validate(nbformat.from_dict(notebook))
    for cell in notebook["cells"]:
        assert not cell.get("outputs")
        assert cell.get("execution_count") is None
        assert cell["metadata"] == {}
    assert notebook["metadata"] == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }


@EACH
def test_is_thin(path):
    for cell in code_cells(path)[1:]:
        assert len(cell.source.splitlines()) <= 15
        assert "def " not in cell.source
        assert "class " not in cell.source


@EACH
def test_begins_with_the_same_guarded_install(path):
    first = code_cells(path)[0].source
    assert first == code_cells(NOTEBOOKS[0])[0].source
    assert 'if importlib.util.find_spec("vaelab") is None:' in first


def install(tmp_path, monkeypatch, **environment):
    """Run the first cell where vaelab is missing; returns what it would have asked pip for."""
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VAELAB_SOURCE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setattr(subprocess, "check_call", asked.extend)
    exec(compile(code_cells(NOTEBOOKS[0])[0].source, "first cell", "exec"), {})
    return asked


def test_install_does_nothing_where_vaelab_is(monkeypatch):
    monkeypatch.setattr(subprocess, "check_call", lambda _: pytest.fail("called pip"))
    exec(compile(code_cells(NOTEBOOKS[0])[0].source, "first cell", "exec"), {})


def test_install_takes_the_wheel_beside_it_first(tmp_path, monkeypatch):
    (tmp_path / "vaelab-0.1.0-py3-none-any.whl").touch()
    asked = install(tmp_path, monkeypatch, VAELAB_SOURCE="/elsewhere")
    assert asked[0] == sys.executable
    wheel = (tmp_path / "vaelab-0.1.0-py3-none-any.whl").as_uri()
    assert asked[-1] == f"vaelab[notebook] @ {wheel}"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [("/my src/vaelab", "file:///my%20src/vaelab"), ("git+https://host/x", "git+https://host/x")],
)
def test_install_takes_the_source_named(tmp_path, monkeypatch, source, wanted):
    assert install(tmp_path, monkeypatch, VAELAB_SOURCE=source)[-1] == f"vaelab[notebook] @ {wanted}"


def test_install_says_what_to_do(tmp_path, monkeypatch):
    with pytest.raises(SystemExit, match=r"put vaelab-\*\.whl beside this notebook, or set VAELAB_SOURCE"):
        install(tmp_path, monkeypatch)


@pytest.mark.parametrize("colab", [False, True])
def test_sounds_are_installed_in_colab_only(monkeypatch, colab):
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command))
    if colab:
        monkeypatch.setitem(sys.modules, "google.colab", sys)
    exec(compile(code_cells(FOLDER / "07_experiments.ipynb")[1].source, "second cell", "exec"), {})
    assert [command[-2:] for command in asked] == (
        [["-qq", "update"], ["hydrogen-drumkits", "sonic-pi-samples"]] if colab else []
    )


def test_kernels_run_in_this_interpreter_whatever_is_installed(tmp_path, monkeypatch):
    spec = tmp_path / "kernels" / "python3"
    spec.mkdir(parents=True)
    (spec / "kernel.json").write_text(json.dumps({"argv": ["/no/such python"], "display_name": "x", "language": "x"}))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    loaded = importlib.util.spec_from_file_location("run_notebooks", FOLDER / "run.py")
    run = importlib.util.module_from_spec(loaded)
    loaded.loader.exec_module(run)
    manager = run.ThisInterpreter(kernel_name="python3")
    assert manager.kernel_spec.argv[0] == sys.executable


@pytest.mark.notebook
def test_all_run_in_order(tmp_path):
    finished = run_all(tmp_path / "demo with space")
    assert finished.returncode == 0, finished.stderr
    out = tmp_path / "demo with space"
    for name in [path.stem for path in NOTEBOOKS] + [str(out / "map.png"), str(out / "generated")]:
        assert name in finished.stdout
    assert (out / "map.png").stat().st_size > 10_000
    made = {path.name.rsplit("_", 1)[0] for path in (out / "generated").glob("*.wav")}
    assert {"path", "weighted.wav", "arithmetic.wav", "variation", "random_at_1.0", "tape_more"} <= made
    assert (out / "generated" / "tape_by_its_model.wav").exists()
    for path in NOTEBOOKS:
        executed = code_cells(out / path.name)
        assert all(cell.execution_count for cell in executed)
        assert list(errors(executed)) == []


@pytest.mark.notebook
def test_the_last_may_be_the_first_and_sounds_need_no_classes(tmp_path, sounds):
    """In reverse order, on one's own sounds in one folder, with hostile names and files that cannot be read."""
    own = tmp_path / "my sounds"
    own.mkdir()
    for path in sorted(sounds.glob("*/*_000[1-3].wav")):
        (own / f"<b>$x$ {path.name}").write_bytes(path.read_bytes())
    (own / "empty.wav").touch()
    (own / "text.wav").write_text("no sound")
    backwards = [path.stem for path in reversed(NOTEBOOKS)]
    finished = run_all(tmp_path / "out", *backwards, VAELAB_SOUNDS=own.name, cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    for path in NOTEBOOKS:
        shown = [output for cell in code_cells(tmp_path / "out" / path.name) for output in cell.outputs]
        pages = [output.data["text/html"] for output in shown if "text/html" in output.get("data", {})]
        assert "<b>" not in "".join(pages)
        assert "$x$" not in "".join(pages)


@pytest.mark.notebook
def test_a_tape_of_ones_own(tmp_path):
    """Named from the folder where the command runs; its title is its name."""
    made = built_in_tape.perform(25, 8, 22050)
    audio.write(tmp_path / "<b>$my$ tape.wav", made.samples, made.sample_rate)
    finished = run_all(tmp_path / "out", "05_transcode_a_tape", VAELAB_TAPE="<b>$my$ tape.wav", cwd=tmp_path)
    assert finished.returncode == 0, finished.stderr
    recipe = audio.read_recipe(tmp_path / "out" / "generated" / "tape_by_its_relatives.wav")
    stretch = recipe["sources"][0]["tapes"][0]
    assert stretch["metadata"] == {"title": "<b>$my$ tape"}
    assert stretch["timecode"].startswith("00:00:00.")
    executed = code_cells(tmp_path / "out" / "05_transcode_a_tape.ipynb")
    assert list(errors(executed)) == []


def test_a_failing_cell_is_shown_and_fails(tmp_path):
    finished = run_all(tmp_path, VAELAB_SOUNDS="/no/such folder")
    assert finished.returncode == 1
    assert "VAELAB_SOUNDS: expected a folder of sounds, found none at /no/such folder" in finished.stderr
    assert "\x1b" not in finished.stderr
    assert "01_dataset" in finished.stderr
    assert (tmp_path / "01_dataset.ipynb").exists()
    assert not (tmp_path / "02_training.ipynb").exists()
