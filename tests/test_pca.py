"""Principal components in closed form, against numpy's singular values, and a model that starts from them."""

import dataclasses

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab import pca
from vaelab.config import LIKELIHOODS

FRAMES, MELS = 31, 24


def levels(sounds: int = 40, seed: int = 0) -> np.ndarray:
    """Stored features in which neighbouring cells agree."""
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((sounds, 6)) @ rng.standard_normal((6, FRAMES * MELS))
    noisy = 128 + 20 * mixed + 2 * rng.standard_normal(mixed.shape)
    return noisy.clip(0, 255).round().astype(np.uint8).reshape(sounds, FRAMES, MELS)


@pytest.mark.parametrize("logits", [False, True])
def test_they_are_the_singular_vectors(logits):
    stored = levels()
    found = pca.fit(stored, 10, 4, logits)
    linked = pca.link(stored.reshape(40, -1) / 255.0, logits)
    centred = linked - linked.mean(axis=0)[None, :]
    _, singular, axes = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(found.centre.ravel(), linked.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(found.spread, singular[:10] / np.sqrt(40), rtol=1e-3)
    ours = found.axes.reshape(10, -1)
    np.testing.assert_allclose(ours @ ours.T, np.eye(10), atol=1e-3)
    np.testing.assert_allclose(np.abs((ours[:6] * axes[:6]).sum(axis=1)), 1, atol=1e-3)
    left = np.abs(centred - centred @ axes[:4].T @ axes[:4]).reshape(40, FRAMES, MELS).mean(axis=(0, 1))
    np.testing.assert_allclose(found.error, left, rtol=1e-2)


def test_variants_are_explained_too():
    """Axes that are fitted beside variants rebuild such better, and the centre is that of all rows."""
    stored = levels(12)

    def moved(features: np.ndarray) -> np.ndarray:
        return np.roll(features, 3, axis=2)

    def missing(axes: np.ndarray, centre: np.ndarray) -> float:
        rows = (moved(stored / 255.0) - centre).reshape(12, -1)
        flat = axes.reshape(len(axes), -1)
        return float(np.abs(rows - rows @ flat.T @ flat).mean())

    alone, beside = pca.fit(stored, 20, 4, False), pca.fit(stored, 20, 4, False, moved, 1)
    assert missing(beside.axes, beside.centre) < 0.1 * missing(alone.axes, alone.centre)
    both = np.concatenate([stored / 255.0, moved(stored / 255.0)])
    np.testing.assert_allclose(beside.centre, both.mean(axis=0), atol=1e-5)
    calls = []
    pca.fit(stored, 4, 4, False, lambda features: calls.append(1) or moved(features), 10**6)
    assert len(calls) == pca.MOST_ROWS // 12 - 1


def test_faint_axes_hold_nothing_of_strong_ones():
    """Single precision would leave some of a strong axis in them."""
    rng = np.random.default_rng(0)
    strong = rng.standard_normal((300, 1)) * np.sign(rng.standard_normal((1, FRAMES * MELS)))
    rows = 128 + 40 * strong + rng.integers(-1, 2, (300, FRAMES * MELS))
    fitted = pca.fit(rows.clip(0, 255).astype(np.uint8).reshape(300, FRAMES, MELS), 200, 1, False)
    flat = fitted.axes.reshape(200, -1)
    np.testing.assert_allclose(flat @ flat.T, np.eye(200), atol=1e-5)


@pytest.mark.parametrize("sounds", [1, 2, 5])
def test_few_sounds_leave_empty_axes(sounds):
    found = pca.fit(levels(sounds), 10, 4, False)
    assert np.isfinite(np.concatenate([part.ravel() for part in found])).all()
    assert (found.axes.reshape(10, -1) != 0).any(axis=1).sum() == sounds - 1
    assert (found.spread > 0).all()


def test_equal_sounds_have_no_axes():
    found = pca.fit(np.repeat(levels(1), 7, axis=0), 3, 3, False)
    assert (found.axes == 0).all()
    np.testing.assert_allclose(found.error, 0, atol=1e-5)


def test_of_very_many_sounds_some_are_read():
    some, all_ = pca.fit(levels(400), 5, 5, False, most_rows=20), pca.fit(levels(400)[::21], 5, 5, False)
    np.testing.assert_allclose(some.spread, all_.spread, rtol=0.1)


@pytest.mark.parametrize("steps", [0, 1, 2])
@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_a_model_starts_as_the_best_linear_one(tiny, likelihood, steps):
    """Without noise its embedding is the first coordinates, and what it decodes their reconstruction."""
    config = dataclasses.replace(tiny.model, likelihood=likelihood, flow_steps=steps)
    stored, logits = levels(), likelihood == "cross_entropy"
    found = pca.fit(stored, config.components, config.latent_dim, logits)
    model = models.create(config, tiny.audio, jax.random.key(0), found)
    features = stored.astype(np.float32) / 255
    z = np.asarray(model.encode(features))
    flat = found.axes.reshape(config.components, -1)[: config.latent_dim]
    linked = pca.link(features, logits).reshape(40, -1)
    coordinates = (linked - found.centre.reshape(1, -1)) @ flat.T
    np.testing.assert_allclose(z * found.spread[None, : config.latent_dim], coordinates, atol=1e-2)
    rebuilt = (found.centre.reshape(1, -1) + coordinates @ flat).reshape(features.shape)
    expected = 1 / (1 + np.exp(-rebuilt)) if logits else rebuilt.clip(0, 1)
    np.testing.assert_allclose(model.decode(z), expected, atol=1e-2)


def test_training_leaves_them_alone(tiny):
    """They are the one part of the weights that is not trained."""
    trained, fixed = models.trainable(models.create(tiny.model, tiny.audio, jax.random.key(0)).params)
    assert set(fixed) == {"components"}
    assert {"encoder", "decoder", "flow", "log_scale"} <= set(trained)
