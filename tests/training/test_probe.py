"""The probe of timbre: what of a latent says how a sound sounds."""

import dataclasses

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.library.search import nearest
from vaelab.models import checkpoint, familiarity
from vaelab.models.evaluate import Sounds
from vaelab.pca import fit as fit_principal
from vaelab.spectral import dequantise
from vaelab.training import probe


def test_it_sees_what_the_statistics_depend_on():
    """Of 40 latents 3 decide the statistics: neighbours by the probe are neighbours in these, the others are noise."""
    rng = np.random.default_rng(0)
    latents = rng.standard_normal((600, 40))
    statistics = latents[:, :3] @ rng.standard_normal((3, 80)) + 0.1 * rng.standard_normal((600, 80))
    points = latents @ probe.solve(latents, statistics).astype(float)
    assert points.shape == (600, 40)
    wanted, _ = nearest(latents[:, :3].astype(np.float32), latents[:50, :3].astype(np.float32), 5)
    near = {
        space: nearest(x.astype(np.float32), x[:50].astype(np.float32), 5)[0]
        for space, x in {"probe": points, "all": latents}.items()
    }
    shared = {
        space: np.mean([len({*a} & {*b}) / 5 for a, b in zip(wanted, got, strict=True)]) for space, got in near.items()
    }
    assert shared["probe"] > 0.7
    assert shared["all"] < 0.4


def test_many_statistics_are_a_few_dimensions():
    rng = np.random.default_rng(0)
    latents, statistics = rng.standard_normal((300, 100)), rng.standard_normal((300, 200))
    assert probe.solve(latents, statistics).shape == (100, probe.DIMENSIONS)


def test_labels_bring_classes_together_and_the_unlabelled_stay_masked():
    """Two latents decide the statistics, another the class of half of the sounds; without labels it is noise."""
    rng = np.random.default_rng(1)
    latents = rng.standard_normal((800, 20))
    statistics = latents[:, :2] @ rng.standard_normal((2, 60))
    classes = (latents[:, 2] > 0).astype(np.int32)
    latents[:, 2] += 2 * (classes - 0.5)
    labels = np.where(np.arange(800) % 2, classes, -1)

    def shared(kernel):
        points = (latents @ kernel.astype(float)).astype(np.float32)
        near = nearest(points, points[:100], 6)[0][:, 1:]
        return np.mean(classes[near] == classes[:100, None])

    plain = probe.solve(latents, statistics)
    assert shared(plain) < 0.6
    assert shared(probe.solve(latents, statistics, labels, 1.0)) > 0.9
    np.testing.assert_array_equal(probe.solve(latents, statistics, labels, 0.0), plain)


@pytest.fixture(scope="module")
def trained(tiny):
    """A model as it starts, and two kinds of sounds: steady ones and short ones, of any pitch."""
    rng = np.random.default_rng(0)
    levels = np.zeros((160, tiny.audio.frames, tiny.audio.n_mels), np.uint8)
    for number, clip in enumerate(levels):
        band, frames = rng.integers(2, tiny.audio.n_mels - 2), (3 if number % 2 else tiny.audio.frames)
        clip[:frames, band - 2 : band + 2] = rng.integers(150, 250)
    principal = fit_principal(levels, tiny.model.components, tiny.model.latent_dim, False)
    return models.create(tiny.model, tiny.audio, jax.random.key(0), principal), levels


def test_short_and_steady_sounds_lie_apart(trained, tiny):
    model, levels = trained
    kernel = probe.fit(model, levels)
    assert kernel.dtype == np.float16
    assert kernel.shape == (tiny.model.latent_dim, min(probe.DIMENSIONS, tiny.model.latent_dim))
    points = np.asarray(model.encode(dequantise(levels))) @ kernel.astype(np.float32)
    near, _ = nearest(points, points, 11)
    same = (near[:, 1:] % 2 == np.arange(len(points))[:, None] % 2).mean()
    assert same > 0.9
    np.testing.assert_array_equal(kernel, probe.fit(model, levels))


def test_it_stands_in_the_file(trained, tmp_path):
    model, levels = trained
    path = tmp_path / "m.safetensors"
    checkpoint.save_model(path, model, {"metrics": {}, "seed": 0})
    sounds = Sounds(levels, np.full(160, -1, np.int32), np.ones(160, np.float32))
    familiarity.keep(path, sounds, sounds, lambda model: probe.fit(model, levels))
    loaded, meta = checkpoint.load_model(path)
    reference = familiarity.load_reference(loaded, meta["reference"], path)
    np.testing.assert_array_equal(reference.probe, probe.fit(model, levels))
    older = {name: array for name, array in meta["reference"].items() if name != "probe"}
    assert familiarity.load_reference(loaded, older, path).probe.shape == (model.config.latent_dim, 0)
    with pytest.raises(checkpoint.CheckpointError, match="probe"):
        familiarity.load_reference(loaded, {**older, "probe": np.zeros((3, 2), np.float16)}, path)
    assert dataclasses.asdict(loaded.config) == dataclasses.asdict(model.config)
