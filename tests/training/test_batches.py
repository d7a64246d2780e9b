"""The feed: shuffled epochs without gaps, and the same run whether features stay on the device or are streamed."""

import dataclasses

import numpy as np
import pytest

from vaelab import data, training
from vaelab.config import Config, ModelConfig
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint, devices
from vaelab.models.evaluate import Sounds
from vaelab.training import batches

BATCH, CHUNK = 4, 3


@pytest.fixture(scope="module")
def home(tmp_path_factory, sounds):
    folder = tmp_path_factory.mktemp("datasets")
    data.make_dataset([sounds], "built in", classes=True, train_ratio=0.8, home=folder, progress=False)
    return folder


@pytest.fixture
def case(tiny):
    features = np.random.default_rng(0).integers(0, 256, (10, 5, 6), np.uint8)
    labels = np.zeros(10, np.int32)
    config = dataclasses.replace(tiny.train, batch_size=BATCH, steps_per_dispatch=CHUNK)
    return Sounds(features, labels, labels.astype(np.float32)), config, devices.mesh(BATCH)


def test_batches_are_shuffled_epochs_without_gaps():
    order = np.concatenate([batches.batch_indices(5, step, 8, 20) for step in range(10)])
    for epoch in range(4):
        assert sorted(order[20 * epoch : 20 * epoch + 20]) == list(range(20))
    assert list(order[:20]) != list(order[20:40])
    assert list(batches.batch_indices(5, 3, 8, 20)) == list(order[24:32])
    assert len(batches.batch_indices(5, 0, 8, 3)) == 8


@pytest.mark.parametrize("way", [batches.Resident, batches.Streamed])
@pytest.mark.parametrize("foretold", [True, False], ids=["as foretold", "otherwise"])
def test_both_ways_feed_the_sounds_of_each_step(case, way, foretold):
    sounds, config, mesh = case
    source = way(sounds, 7, config, mesh)
    step = 0
    for count in (3, 3, 1, 2):
        features, rows = source.take(step, count, 3 if foretold else 2)
        for place in range(count):
            expected = batches.batch_indices(7, step + place, BATCH, 10)
            np.testing.assert_array_equal(np.asarray(features)[rows[place]], sounds.features[expected])
        step += count
    source.close()


def test_reading_ahead_happens_in_a_thread(case):
    sounds, config, mesh = case
    source = batches.Streamed(sounds, 7, config, mesh)
    source.take(0, 3, 2)
    wanted, future = source._ahead
    assert wanted == (3, 2)
    future.result(timeout=30)
    source.take(3, 2, 0)
    assert source._ahead is None
    source.close()


def test_an_error_of_the_reader_reaches_the_training(case):
    sounds, config, mesh = case

    class Broken:
        shape, nbytes = sounds.features.shape, sounds.features.nbytes

        def __len__(self):
            return len(sounds.features)

        def __getitem__(self, _):
            raise KeyError("a row that is gone")

    source = batches.Streamed(sounds._replace(features=Broken()), 7, config, mesh)
    with pytest.raises(KeyError, match="a row that is gone"):
        source.take(0, 3, 3)
    source.close()


def test_the_budget_decides(case):
    sounds, config, mesh = case
    assert isinstance(batches.feed(sounds, 0, config, mesh), batches.Resident)
    assert isinstance(batches.feed(sounds, 0, dataclasses.replace(config, device_megabytes=0), mesh), batches.Streamed)
    assert batches.fits(2**20, dataclasses.replace(config, device_megabytes=1))
    assert not batches.fits(2**20 + 1, dataclasses.replace(config, device_megabytes=1))


def test_streamed_is_the_same_run(tiny, home, tmp_path):
    """Bit for bit, with features that never were in memory as a whole."""
    tensors = []
    for megabytes in (1000, 0.01):
        model = ModelConfig(latent_dim=4, components=6, depth=1, hidden=8, flow_steps=1, flow_hidden=4)
        config = Config(tiny.audio, model, dataclasses.replace(tiny.train, device_megabytes=megabytes))
        logdir = tmp_path / str(megabytes)
        training.train(logdir, "built in", config, seed=3, num_steps=12, home=home, progress=False)
        tensors.append(
            [checkpoint.load(logdir / name)[0] for name in ("state-00000012.safetensors", "best.safetensors")]
        )
    for resident, streamed in zip(*tensors, strict=True):
        assert {name: value.tobytes() for name, value in resident.items()} == {
            name: value.tobytes() for name, value in streamed.items()
        }


def test_rows_of_the_store_are_read_when_asked_for(tiny, home):
    found = data.load_dataset("built in", home)
    store = FeatureStore(home / ".store", tiny.audio)
    store.build({entry.sha256: found.source(entry) for entry in found.entries}, progress=False)
    small = dataclasses.replace(tiny.train, device_megabytes=0)
    lazy = training.gather(found, "train", store, tiny.model, small)
    whole = training.gather(found, "train", store, tiny.model)
    assert isinstance(lazy.features, batches.StoredRows)
    assert lazy.features.shape == whole.features.shape
    assert lazy.features.nbytes == whole.features.nbytes
    np.testing.assert_array_equal(lazy.features[np.array([5, 0, 5])], whole.features[[5, 0, 5]])
