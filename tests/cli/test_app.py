"""The page of `vaelab app`: what its kernel shows, and where it may be reached from."""

import importlib.util
import json
from pathlib import Path

import jax
import pytest

from vaelab import cli, model
from vaelab.cli import app
from vaelab.library import umap_map
from vaelab.models import checkpoint
from vaelab.ui.instrument import Instrument
from vaelab.ui.mixer import Mixer
from vaelab.ui.soundmap import SoundMap

SECONDS = 60


@pytest.fixture
def path(tiny, tmp_path, monkeypatch):
    """A model; the tests run where it lies, and are back afterwards wherever the page goes."""
    path = tmp_path / "tiny.safetensors"
    checkpoint.save_model(path, model.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    monkeypatch.chdir(tmp_path)
    return path


def run(capsys, *arguments):
    status = cli.main(list(arguments))
    captured = capsys.readouterr()
    return status, captured.out.splitlines()[-1:], captured.err


@pytest.fixture
def wish(path, sounds, tmp_path, monkeypatch):
    def wish(library, instrument=False):
        wishes = {
            "model": str(path),
            "files": [str(sounds / "kick" / "kick_0001.wav")],
            "folder": "generated",
            "place": str(tmp_path),
            "instrument": instrument,
        }
        monkeypatch.setenv(app.WISHES, json.dumps({**wishes, "library": library}))
        return app.page()

    return wish


def test_the_mixer_alone_without_a_library(wish, tmp_path):
    page = wish(None)
    assert isinstance(page, Mixer)
    assert page.worker.wait(SECONDS)
    assert "1 kick_0001" in page.status.value
    page.save.click()
    assert page.worker.wait(SECONDS)
    assert (tmp_path / "generated" / "mix.wav").exists()


def test_the_map_above_the_mixer_with_one(wish, sounds, monkeypatch):
    monkeypatch.setattr(umap_map, "fit_umap", lambda embeddings, *_: embeddings[:, :2])
    page = wish(str(sounds / "tom"))
    assert isinstance(page, SoundMap)
    assert len(page.coordinates) == 6
    assert page.children[-1] is page.mixer
    assert page.mixer.worker.wait(SECONDS)


def test_the_instrument_in_place_of_both(wish, path, sounds, monkeypatch, capsys):
    monkeypatch.setattr(umap_map, "fit_umap", lambda embeddings, *_: embeddings[:, :2])
    page = wish(str(sounds / "tom"), instrument=True)
    assert isinstance(page, Instrument)
    assert len(page.coordinates) == 6
    for others in ([], ["kick.wav", "--library-dir", "."]):
        status, _, err = run(capsys, "app", str(path), *others, "--instrument")
        assert (status, "expected --library-dir and no FILE with --instrument" in err) == (1, True)


def test_it_listens_on_this_machine_only_and_asks_for_a_token(tmp_path):
    command = app._command(tmp_path, 8866)
    assert "--Voila.ip=127.0.0.1" in command
    assert "--Voila.auto_token=True" in command
    assert not any("token=" in argument and "auto_token" not in argument for argument in command)


def test_map_draws_a_picture(path, sounds, capsys, monkeypatch):
    monkeypatch.setattr(umap_map, "fit_umap", lambda embeddings, *_: embeddings[:, :2])
    command = ["map", "--model", str(path), "--library-dir", str(sounds / "kick"), "--out-file"]
    assert run(capsys, *command, "map.png")[:2] == (0, ["drew 6 sounds: map.png"])
    monkeypatch.setattr(umap_map, "fit_umap", lambda *_: pytest.fail("laid out again"))
    assert run(capsys, *command, "again.png")[:2] == (0, ["drew 6 sounds: again.png"])
    assert Path("map.png").read_bytes().startswith(b"\x89PNG")
    status, _, err = run(capsys, *command, "map.txt")
    assert (status, err) == (1, "vaelab: map.txt: expected a name in .png, .pdf or .svg\n")


def test_a_library_without_a_map_is_told_before_there_is_a_page(path, tmp_path, capfd, monkeypatch):
    """Voila, which need not be there, is not started."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: "there")
    (tmp_path / "empty").mkdir()
    status = cli.main(["app", str(path), "--library-dir", "empty", "--no-browser", "--port", "8899"])
    out, err = capfd.readouterr()
    assert status == 1
    assert out.splitlines()[0].startswith("starting http://127.0.0.1:8899/?token=")
    assert out.splitlines()[1] == "app: embedding the library and laying out its map ..."
    assert "empty: expected at least one readable sound" in err
    assert "app: expected a library that can be laid out on a map" in err


def test_app_says_what_is_missing(path, capsys, monkeypatch):
    assert run(capsys, "app", "no such model")[0] == 1
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    status, _, err = run(capsys, "app", str(path))
    assert (status, err) == (1, "vaelab: app: expected voila, found none; install it with: pip install 'vaelab[app]'\n")
