"""Sources of mixes: measured one by one and once, whatever they are mixed with."""

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.play import rendering, sources


@pytest.fixture(scope="module")
def model(tiny):
    return models.create(tiny.model, tiny.audio, jax.random.key(0))


@pytest.fixture(scope="module")
def clips(model):
    return np.random.default_rng(0).normal(0, 0.2, (3, model.audio.samples)).astype(np.float32)


def test_measurements_are_those_of_a_batch(model, clips):
    measured = sources.Sources(model).measure(clips)
    features, levels_db = rendering.stored_features(clips, model.audio)
    np.testing.assert_allclose(measured.features, features, atol=1 / 255)
    np.testing.assert_allclose(measured.levels_db, levels_db, atol=1e-3)
    embeddings = rendering.embed(model, features)
    np.testing.assert_allclose(measured.embeddings, embeddings, atol=1e-3)
    np.testing.assert_allclose(measured.residuals, rendering.residuals(model, clips, embeddings), atol=1e-3)


def test_bytes_do_not_depend_on_company(model, clips):
    together = sources.Sources(model).measure(clips)
    for number in range(len(clips)):
        alone = sources.Sources(model).measure(clips[[number]])
        for part, own in zip(together, alone, strict=True):
            np.testing.assert_array_equal(part[number], own[0])


def test_each_is_measured_once(model, clips, monkeypatch):
    counted = []
    embed = rendering.embed
    monkeypatch.setattr(rendering, "embed", lambda *arguments: counted.append(1) or embed(*arguments))
    measurer = sources.Sources(model)
    first = measurer.measure(clips)
    second = measurer.measure(clips[::-1])
    assert len(counted) == 3
    np.testing.assert_array_equal(second.embeddings, first.embeddings[::-1])
    measurer.measure(clips[:1] * 0.5)
    measurer.measure(clips[:1], refine=2)
    assert len(counted) == 5


def test_what_a_caller_changes_is_measured_as_it_was(model, clips):
    measurer = sources.Sources(model)
    first = measurer.measure(clips[:1])
    before = first.embeddings.copy()
    first.embeddings[:] = 0
    np.testing.assert_array_equal(measurer.measure(clips[:1]).embeddings, before)


def test_any_number_of_sources_is_compiled_once(model, clips):
    measurer = sources.Sources(model)
    measurer.measure(clips[:1] * 0.9)
    compiled = type(model).encode._cache_size(), type(model).decode._cache_size()
    measurer.measure(clips * 0.8)
    assert (type(model).encode._cache_size(), type(model).decode._cache_size()) == compiled
