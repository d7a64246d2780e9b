"""The page of `vaelab app`: what its kernel shows, and where it may be reached from."""

import json

import jax
import pytest

from vaelab import app, checkpoint, latent, model
from vaelab.mixer import Mixer
from vaelab.soundmap import SoundMap

SECONDS = 60


@pytest.fixture
def wish(tiny, sounds, tmp_path, monkeypatch):
    path = tmp_path / "tiny.safetensors"
    checkpoint.save_model(path, model.create(tiny.model, tiny.audio, jax.random.key(0)), {})

    monkeypatch.chdir(tmp_path)  # and back afterwards, for the page goes where it is told

    def wish(library):
        wishes = {
            "model": str(path),
            "files": [str(sounds / "kick" / "kick_0001.wav")],
            "folder": "generated",
            "place": str(tmp_path),
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
    monkeypatch.setattr(latent, "umap_map", lambda embeddings: embeddings[:, :2])
    page = wish(str(sounds / "tom"))
    assert isinstance(page, SoundMap)
    assert len(page.coordinates) == 6
    assert page.children[-1] is page.mixer
    assert page.mixer.worker.wait(SECONDS)


def test_it_listens_on_this_machine_only_and_asks_for_a_token(tmp_path):
    command = app._command(tmp_path, 8866)
    assert "--Voila.ip=127.0.0.1" in command
    assert "--Voila.auto_token=True" in command
    assert not any("token=" in argument and "auto_token" not in argument for argument in command)
