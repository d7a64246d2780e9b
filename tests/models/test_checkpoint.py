"""Checkpoints: what is loaded is what was saved, and anything else is one clear error."""

import dataclasses
import json
import struct

import jax
import numpy as np
import pytest
from safetensors import numpy as st

from vaelab import model as models
from vaelab.config import AudioConfig, ModelConfig
from vaelab.models import checkpoint
from vaelab.models.checkpoint import CheckpointError

TREE = {"a": {"b": np.arange(6, dtype=np.float32).reshape(2, 3)}, "step": np.int32(7)}


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "a file.safetensors"
    checkpoint.save(path, TREE, {"kind": "train state", "note": "é", "value": 0.1})
    return path


def test_round_trip(saved):
    tensors, meta = checkpoint.load(saved)
    assert meta["note"] == "é"
    assert meta["value"] == 0.1
    assert set(meta["versions"]) >= {"vaelab", "jax", "flax", "optax", "numpy"}
    filled = checkpoint.fill(TREE, tensors, saved)
    np.testing.assert_array_equal(filled["a"]["b"], TREE["a"]["b"])
    assert filled["step"] == 7


def test_every_flipped_byte_is_found(saved):
    body = saved.read_bytes()
    for position in range(len(body)):
        damaged = bytearray(body)
        damaged[position] ^= 0x10
        saved.write_bytes(damaged)
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)


def test_every_truncation_is_found(saved):
    body = saved.read_bytes()
    for length in range(len(body)):
        saved.write_bytes(body[:length])
        with pytest.raises(CheckpointError):
            checkpoint.load(saved)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"nowhere\.safetensors: expected a checkpoint, found none"):
        checkpoint.load(tmp_path / "nowhere.safetensors")


def hostile_bodies():
    header = json.dumps({"__metadata__": "not a dict"}).encode()
    return {
        "empty": b"",
        "text": b"hello, I am a model",
        "pickle": b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
        "huge header": struct.pack("<Q", 2**62) + b"{}",
        "metadata of another kind": struct.pack("<Q", len(header)) + header,
        "foreign safetensors": st.save({"x": np.zeros(2, np.float32)}),
        "no digest": st.save({"x": np.zeros(2, np.float32)}, {"vaelab": "{}"}),
        "meta not JSON": st.save({}, {"vaelab": "{", "sha256": "0" * 64}),
        "deep JSON": st.save({}, {"vaelab": "[" * 100_000, "sha256": "0" * 64}),
    }


@pytest.mark.parametrize("name", hostile_bodies())
def test_hostile_files_are_refused(tmp_path, name):
    path = tmp_path / "hostile.safetensors"
    path.write_bytes(hostile_bodies()[name])
    with pytest.raises(CheckpointError, match=r"hostile\.safetensors"):
        checkpoint.load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("a/b"), "lacks 1 tensors, first 'a/b'"),
        (lambda tensors: tensors.update(c=np.zeros(1)), "1 unknown tensors, first 'c'"),
        (
            lambda tensors: tensors.update({"a/b": np.zeros((3, 2), np.float32)}),
            r"a/b: expected shape \(2, 3\) float32, found \(3, 2\) float32",
        ),
        (lambda tensors: tensors.update({"a/b": np.zeros((2, 3))}), "found .* float64"),
    ],
)
def test_tensors_that_do_not_fit_are_named(saved, change, message):
    tensors, _ = checkpoint.load(saved)
    change(tensors)
    with pytest.raises(CheckpointError, match=message):
        checkpoint.fill(TREE, tensors, saved)


def test_a_model_rebuilds_itself(tiny, tmp_path):
    labels = (("class", ("kick", "snare")),)
    config = ModelConfig(latent_dim=4, width=8, downsamples=1, hidden=8, flow_steps=1, flow_hidden=4, labels=labels)
    model = models.create(config, tiny.audio, jax.random.key(3))
    digest = checkpoint.save_model(tmp_path / "m.safetensors", model, {"metrics": {"loss": 1.0}})
    loaded, meta = checkpoint.load_model(tmp_path / "m.safetensors")
    assert meta["sha256"] == digest
    assert (loaded.config, loaded.audio) == (config, tiny.audio)
    features = np.random.default_rng(0).uniform(size=(3, tiny.audio.frames, tiny.audio.n_mels)).astype(np.float32)
    np.testing.assert_array_equal(loaded.encode(features), model.encode(features))


def test_a_model_whose_file_does_not_name_its_timbre_has_the_plain_one(tiny, tmp_path):
    """Files from before there was a choice classify as they did."""
    labels = (("class", ("a", "b")),)
    config = ModelConfig(**{**tiny.model.to_dict(), "labels": labels, "timbre": "plain"})
    model = models.create(config, tiny.audio, jax.random.key(0))
    path, kept = tmp_path / "m.safetensors", config.to_dict()
    del kept["timbre"]
    checkpoint.save(path, model.params, {"kind": "model", "model": kept, "audio": tiny.audio.to_dict()})
    loaded, _ = checkpoint.load_model(path)
    assert loaded.config == config
    features = np.random.default_rng(0).random((2, tiny.audio.frames, tiny.audio.n_mels)).astype(np.float32)
    np.testing.assert_array_equal(loaded.classify(features), model.classify(features))


def test_half_precision_halves_a_model_and_is_read_as_float32(tiny, tmp_path):
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    checkpoint.save_model(tmp_path / "whole.safetensors", model, {})
    checkpoint.save_model(tmp_path / "half.safetensors", model, {"note": "n"}, half=True)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("half", "whole")]
    assert sizes[0] < 0.6 * sizes[1]
    loaded, meta = checkpoint.load_model(tmp_path / "half.safetensors")
    assert (meta["note"], meta["stored"]) == ("n", "float16")
    wanted, read = (checkpoint.flatten(one.params) for one in (model, loaded))
    assert {name: array.dtype for name, array in read.items()} == {name: array.dtype for name, array in wanted.items()}
    axes, rounded = (np.asarray(arrays.pop(checkpoint.AXES)) for arrays in (wanted, read))
    steps = np.abs(axes).max(axis=-1, keepdims=True) / 127
    assert (np.abs(axes - rounded) <= 0.501 * steps).all()
    for name, array in wanted.items():
        np.testing.assert_array_equal(np.asarray(read[name]), np.asarray(array, np.float16), err_msg=name)


def test_axes_in_half_precision_are_read_too(tiny, tmp_path):
    """Files of before hold them."""
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    halves = {name: np.asarray(leaf, np.float16) for name, leaf in checkpoint.flatten(model.params).items()}
    meta = {"model": tiny.model.to_dict(), "audio": tiny.audio.to_dict(), "stored": "float16", "kind": "model"}
    checkpoint.save(tmp_path / "m.safetensors", halves, meta)
    read = checkpoint.flatten(checkpoint.load_model(tmp_path / "m.safetensors")[0].params)
    for name, array in halves.items():
        np.testing.assert_array_equal(np.asarray(read[name]), array.astype(np.float32), err_msg=name)


@pytest.mark.parametrize("value", [1e6, np.nan])
def test_what_half_precision_cannot_hold_is_refused(tiny, tmp_path, value):
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    params = jax.tree.map(np.array, model.params)
    params["log_scale"][0] = value
    with pytest.raises(CheckpointError, match=r"expected weights up to 65504"):
        checkpoint.save_model(tmp_path / "m.safetensors", dataclasses.replace(model, params=params), {}, half=True)
    assert not list(tmp_path.iterdir())


def test_a_model_of_another_shape_is_refused(tiny, tmp_path):
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    path = tmp_path / "m.safetensors"
    meta = {"kind": "model", "model": {**tiny.model.to_dict(), "latent_dim": 9}, "audio": tiny.audio.to_dict()}
    checkpoint.save(path, model.params, meta)
    with pytest.raises(CheckpointError, match=r"m\.safetensors: .*expected shape"):
        checkpoint.load_model(path)
    checkpoint.save(path, model.params, {**meta, "model": {"latents": 9}})
    with pytest.raises(CheckpointError, match="unknown latents"):
        checkpoint.load_model(path)
    checkpoint.save(path, {}, {"kind": "train state"})
    with pytest.raises(CheckpointError, match="expected a model, found a train state"):
        checkpoint.load_model(path)


def test_saving_replaces_whole_or_not_at_all(saved, monkeypatch):
    before = saved.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match=r"a file\.safetensors: expected room to write, found the disk full"):
        checkpoint.save(saved, {"a": np.zeros(9)}, {})
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_default_config_has_a_stable_layout():
    """Paths of tensors are the file format: renaming a layer breaks every model ever saved."""
    skeleton = jax.eval_shape(lambda key: models.create(ModelConfig(), AudioConfig(), key), jax.random.key(0))
    names = set(checkpoint.flatten(skeleton.params))
    assert {"components/axes", "encoder/Layers_0/Dense_0/kernel", "flow/flow_0/w_in", "log_scale"} <= names
