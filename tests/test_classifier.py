"""Classifiers in closed form: the optimum is one, the unknown says nothing, weights are what they are called."""

import dataclasses

import jax
import numpy as np
import pytest
from scipy.optimize import check_grad

from vaelab import classifier, timbre
from vaelab import model as models
from vaelab.config import Config
from vaelab.evaluate import Sounds, balanced
from vaelab.feed import StoredRows

CLASSES = 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def heard(rng, sounds=60, inputs=7):
    """Overlapping classes: (sounds, inputs), and their labels."""
    labels = np.arange(sounds) % CLASSES
    return rng.standard_normal((sounds, inputs)) + np.eye(CLASSES, inputs)[labels], labels


def gradient(solved, inputs, labels, weights):
    known = labels >= 0
    padded = np.pad(inputs[known], ((0, 0), (0, 1)), constant_values=1.0)
    flat = np.concatenate([solved[0], solved[1][None]]).astype(float).ravel()
    shares = weights[known] / weights[known].sum()
    return classifier.loss(flat, padded, np.eye(CLASSES)[labels[known]], shares)[1]


def test_the_gradient_is_that_of_the_loss(rng):
    inputs, labels = heard(rng)
    rest = inputs, np.eye(CLASSES)[labels], np.full(len(inputs), 1 / len(inputs))
    flat = rng.standard_normal(inputs.shape[1] * CLASSES)
    error = check_grad(lambda x: classifier.loss(x, *rest)[0], lambda x: classifier.loss(x, *rest)[1], flat)
    assert error < 1e-6


def test_nothing_pulls_at_the_solution(rng):
    inputs, labels = heard(rng)
    weights = rng.random(len(inputs)) + 0.1
    solved = classifier.solve(inputs, labels, weights, CLASSES)
    start = np.abs(gradient((np.zeros((7, CLASSES)), np.zeros(CLASSES)), inputs, labels, weights)).max()
    assert np.abs(gradient(solved, inputs, labels, weights)).max() < 1e-3 * start


def test_unknown_labels_and_weightless_sounds_say_nothing(rng):
    inputs, labels = heard(rng)
    weights = np.ones(len(inputs))
    whole = classifier.solve(inputs, labels, weights, CLASSES)
    noise = 9 * rng.standard_normal((8, 7))
    unknown, weightless = np.full(4, -1), np.zeros(4)
    more = classifier.solve(
        np.concatenate([noise, inputs]),
        np.concatenate([unknown, weightless.astype(int), labels]),
        np.concatenate([np.ones(4), weightless, weights]),
        CLASSES,
    )
    for found, expected in zip(more, whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_weight_of_two_is_two_sounds(rng):
    inputs, labels = heard(rng)
    twice = np.concatenate([inputs, inputs[:20]]), np.concatenate([labels, labels[:20]])
    weighted = classifier.solve(inputs, labels, np.where(np.arange(60) < 20, 2.0, 1.0), CLASSES)
    repeated = classifier.solve(*twice, np.ones(80), CLASSES)
    for found, expected in zip(weighted, repeated, strict=True):
        np.testing.assert_allclose(found, expected, atol=2e-3)
    plain = classifier.solve(inputs, labels, np.ones(60), CLASSES)
    assert np.abs(plain[0] - weighted[0]).max() > 0.02


def test_without_labels_a_head_says_nothing(rng):
    kernel, bias = classifier.solve(heard(rng)[0], np.full(60, -1), np.ones(60), CLASSES)
    assert kernel.shape == (7, CLASSES)
    assert not kernel.any()
    assert not bias.any()


@pytest.fixture
def sounds(tiny, rng):
    """Two label sets, one of them known of a few sounds only, and a model for them."""
    levels = rng.integers(0, 90, (30, tiny.audio.frames, tiny.audio.n_mels)).astype(np.uint8)
    loud, long = np.arange(30) % 2, np.arange(30) // 2 % 3
    levels[loud == 1, :, :8] += 100
    levels[:, 10:] //= (1 + 2 * long[:, None, None]).astype(np.uint8)
    labels = np.stack([loud, np.where(np.arange(30) < 18, long, -1)], axis=1).astype(np.int32)
    sets = (("loud", ("no", "yes")), ("long", ("a", "b", "c")))
    config = Config(tiny.audio, dataclasses.replace(tiny.model, labels=sets), tiny.train)
    model = models.create(config.model, config.audio, jax.random.key(0))
    scale = timbre.fit(levels, config.model.cepstra)._asdict()
    model = dataclasses.replace(model, params={**model.params, "timbre": scale})
    return model, Sounds(levels, labels, balanced(labels), ()), config


def test_each_label_set_is_learnt(sounds):
    model, training, config = sounds
    fitted = classifier.fitted(model, training, config, jax.random.key(1))
    answers = fitted.classify(training.features.astype(np.float32) / 255)
    for column, answer in enumerate(answers):
        known = training.labels[:, column] >= 0
        assert (np.asarray(answer).argmax(axis=1) == training.labels[:, column])[known].mean() > 0.9


def test_nothing_but_heads_changes(sounds):
    model, training, config = sounds
    fitted = classifier.fitted(model, training, config, jax.random.key(1))
    changed = {name for name, part in fitted.params.items() if part is not model.params[name]}
    assert changed == {"head_loud", "head_long"}
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), fitted.params) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), model.params
    )


def test_copies_are_heard_beside_the_sounds(sounds):
    """First the sounds themselves; what augmentation makes of them differs; without augmentation there is none."""
    model, training, config = sounds
    chosen = np.array([3, 1, 4])
    found = classifier.hear(model, training.features, chosen, config, jax.random.key(1))
    assert len(found) == 3 * (1 + classifier.COPIES)
    plain = dataclasses.replace(config, train=dataclasses.replace(config.train, shift_bins=0))
    alone = classifier.hear(model, training.features, chosen, plain, jax.random.key(1))
    np.testing.assert_array_equal(alone, found[:3])
    assert np.abs(found[3:6] - alone).max() > 0.01


def test_only_labelled_sounds_are_read(sounds):
    model, training, config = sounds
    read = []

    class Watched(StoredRows):
        def __init__(self):
            self.shape = training.features.shape

        def __getitem__(self, rows):
            read.extend(rows.tolist())
            return training.features[rows]

    labels = np.where(np.arange(30)[:, None] < 7, training.labels, -1)
    lazy = training._replace(features=Watched(), labels=labels, weights=balanced(labels))
    classifier.fitted(model, lazy, config, jax.random.key(1))
    assert set(read) == set(range(7))
