"""Files from strangers: every loader answers with its typed error (or passes a file over), and none runs code."""

import io
import json
import pickle
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors import numpy as st

from vaelab import audio, config, data
from vaelab import model as models
from vaelab.audio import soundfont
from vaelab.config import ModelConfig
from vaelab.datasets import hydrogen, unpacking
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint
from vaelab.play import SoundSampleTool, ToolError
from vaelab.training import logdir


class Bomb:
    """Makes a file when it is unpickled."""

    def __reduce__(self):
        return Path.touch, (Path("exploded"),)


def npy_with_objects() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.array([Bomb()], object), allow_pickle=True)
    return buffer.getvalue()


BODIES = {
    "empty": b"",
    "zeros": bytes(64),
    "text": b"hello, I am a model",
    "pickle": pickle.dumps(Bomb()),
    "objects": npy_with_objects(),
    "deep": b"[" * 100_000,
    "deep object": b'{"a":' * 100_000,
    "long number": b"1" * 10_000,
    "number": b"3",
    "null": b"null",
    "list": b"[[]]",
    "object": b'{"__class__": "os.system", "config": {}, "files": 3}',
    "yaml": b"!!python/object/apply:os.system ['touch exploded']",
    "not UTF-8": b"\xff\xfe\x80",
    "foreign tensors": st.save({"x": np.zeros(2, np.float32)}),
}


def load_config(path, _):
    return config.Config.from_file(path)


def load_manifest(path, folder):
    (folder / "d").mkdir()
    path.rename(folder / "d" / "manifest.json")
    return data.load_dataset("d", folder)


def load_run(path, folder):
    path.rename(folder / "run.json")
    return logdir.open_run(folder, None, None, 0, folder)


def load_state(path, folder):
    path.rename(folder / "state-00000005.safetensors")
    return logdir.restore(folder, {"x": np.zeros(2, np.float32)})


def load_model(path, _):
    return checkpoint.load_model(path)


def load_tool(path, folder):
    path.rename(folder / "best.safetensors")
    return SoundSampleTool(folder)


def load_kit(path, _):
    return hydrogen.read_kit(path)


def load_sound_font(path, folder):
    return unpacking.unpack(path, folder / "sounds", progress=False)


def load_recipe(path, folder):
    (folder / "g.flac").write_bytes(b"")
    path.rename(folder / "g.flac.recipe.json")
    return audio.read_recipe(folder / "g.flac")


def load_sound(path, _):
    return audio.read(path, 8000)


LOADERS = {
    load_config: config.ConfigError,
    load_manifest: data.DatasetError,
    load_run: logdir.TrainError,
    load_state: logdir.TrainError,
    load_model: checkpoint.CheckpointError,
    load_tool: (ToolError, checkpoint.CheckpointError),
    load_kit: hydrogen.KitError,
    load_sound_font: soundfont.SoundFontError,
    load_recipe: audio.AudioError,
    load_sound: audio.AudioError,
}
HARMLESS = {(load_recipe, body) for body in ("long number", "number", "null", "list", "object")}  # JSON, only shown


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("loader", LOADERS, ids=lambda loader: loader.__name__)
def test_a_hostile_file_is_one_typed_error(tmp_path, monkeypatch, loader, body):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "hostile.json"
    path.write_bytes(BODIES[body])
    if (loader, body) in HARMLESS:
        assert not isinstance(read_or_error(loader, path, tmp_path), Bomb)
    else:
        with pytest.raises(LOADERS[loader]):
            loader(path, tmp_path)
    assert not (tmp_path / "exploded").exists()


def read_or_error(loader, path, folder):
    try:
        return loader(path, folder)
    except LOADERS[loader] as error:
        return error


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("suffix", [".json", ".npy"])
def test_a_hostile_shard_is_passed_over(tiny, tmp_path, monkeypatch, body, suffix):
    monkeypatch.chdir(tmp_path)
    folder = FeatureStore(tmp_path, tiny.audio).folder
    folder.mkdir()
    index = {"decoder": "", "sha256": ["0" * 64]}
    (folder / "shard.json").write_text(json.dumps(index))
    np.save(folder / "shard.npy", np.zeros((1, tiny.audio.frames, tiny.audio.n_mels), np.uint8))
    (folder / f"shard{suffix}").write_bytes(BODIES[body])
    with pytest.warns(UserWarning, match=r"shard\.json: expected a shard of features, found a damaged one"):
        assert len(FeatureStore(tmp_path, tiny.audio)) == 0
    assert not (tmp_path / "exploded").exists()


def test_the_bomb_is_a_bomb(tmp_path, monkeypatch):
    """So that the absence of an explosion means something."""
    monkeypatch.chdir(tmp_path)
    pickle.loads(BODIES["pickle"])
    assert (tmp_path / "exploded").exists()


@pytest.mark.parametrize("position", [0.1, 0.5, 0.9])
def test_a_flipped_bit_in_a_model_is_found_before_use(tiny, tmp_path, position):
    model = models.create(ModelConfig(latent_dim=2, width=4, hidden=4, flow_steps=0), tiny.audio, jax.random.key(0))
    path = tmp_path / "m.safetensors"
    checkpoint.save_model(path, model, {})
    body = bytearray(path.read_bytes())
    body[int(position * len(body))] ^= 1
    path.write_bytes(body)
    with pytest.raises(checkpoint.CheckpointError, match=r"m\.safetensors: "):
        checkpoint.load_model(path)
