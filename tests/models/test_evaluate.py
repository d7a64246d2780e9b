"""Evaluation: every held-out sound once, the same noise each time, scores against a plain count."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaelab import model as models
from vaelab.models import evaluate
from vaelab.models.evaluate import Sounds

LABELS = (("class", ("a", "b", "c")),)


@pytest.fixture(scope="module")
def case(tiny):
    config = dataclasses.replace(tiny.model, labels=LABELS)
    model = models.create(config, tiny.audio, jax.random.key(0))
    rng = np.random.default_rng(0)
    features = rng.integers(0, 256, (21, tiny.audio.frames, tiny.audio.n_mels), np.uint8)
    labels = rng.integers(-1, 3, 21).astype(np.int32)
    sounds = Sounds(features, labels, evaluate.balanced(labels))
    return model, sounds, tiny.train


def test_the_same_twice(case):
    key = jax.random.key(1)
    assert evaluate.evaluate(*case, key)[0] == evaluate.evaluate(*case, key)[0]


def test_the_batch_size_does_not_matter(case):
    model, sounds, config = case
    whole, confusion = evaluate.evaluate(model, sounds, dataclasses.replace(config, batch_size=21), jax.random.key(1))
    parts, same = evaluate.evaluate(model, sounds, dataclasses.replace(config, batch_size=4), jax.random.key(1))
    assert parts == pytest.approx(whole, rel=1e-5)
    np.testing.assert_array_equal(confusion, same)


def test_means_are_over_all_sounds(case):
    model, sounds, config = case
    key = jax.random.key(1)
    metrics, _ = evaluate.evaluate(model, sounds, config, key)
    terms_of = jax.jit(lambda *arguments: model.module.apply({"params": model.params}, *arguments))
    recon, kl = [], []
    for position in range(21):
        eps = jax.random.normal(jax.random.fold_in(key, position), (1, model.config.latent_dim))
        features = jnp.asarray(sounds.features[position][None], jnp.float32) / 255
        labels = jnp.asarray(sounds.labels[position][None])
        terms = terms_of(features, eps, labels)
        recon.append(np.asarray(terms.recon)[0])
        kl.append(np.asarray(terms.kl)[0])
    assert metrics["recon"] == pytest.approx(np.mean(recon), rel=1e-5)
    assert metrics["kl"] == pytest.approx(np.mean(kl), rel=1e-4)
    dims = sounds.features[0].size
    assert metrics["bits_per_dim"] == pytest.approx(np.mean(np.add(recon, kl)) / dims / np.log(2), rel=1e-5)


def test_confusion_counts_the_known():
    matrix = evaluate.confusion_matrix(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 2]), 3)
    np.testing.assert_array_equal(matrix, [[1, 1, 0], [0, 1, 0], [0, 0, 0]])


def test_scores():
    scores = evaluate.scores(np.array([[1, 1, 0], [0, 4, 0], [0, 0, 0]]))
    f1 = (2 / 3 + 8 / 9) / 2  # precision 1 and recall 1/2; precision 4/5 and recall 1
    assert scores == pytest.approx({"accuracy": 5 / 6, "balanced_accuracy": 0.75, "macro_f1": f1})
    assert np.isnan(evaluate.scores(np.zeros((2, 2), int))["accuracy"])


def test_balanced_weights_give_each_class_the_same_say():
    labels = np.array([0, 0, 0, 1, -1], np.int32)
    weights = evaluate.balanced(labels)
    assert weights[labels == 0].sum() == pytest.approx(weights[labels == 1].sum())
    assert weights[:4].mean() == pytest.approx(1)
    assert weights[4] == 0
