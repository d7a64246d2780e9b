"""Classifiers in closed form: the solution is one, the unknown says nothing, weights are what they are called."""

import dataclasses

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.audio import timbre
from vaelab.config import Config
from vaelab.models.evaluate import Sounds, balanced
from vaelab.training import classifier
from vaelab.training.batches import StoredRows

CLASSES = 3


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def heard(rng, sounds=60, inputs=7):
    """Overlapping classes: (sounds, inputs), and their labels."""
    labels = np.arange(sounds) % CLASSES
    return rng.standard_normal((sounds, inputs)) + np.eye(CLASSES, inputs)[labels], labels


def test_nothing_pulls_at_the_solution(rng):
    """The gradient of what is minimised is zero there."""
    inputs, labels = heard(rng)
    shares, aims = rng.random(60) / 30, np.eye(CLASSES)[labels]
    kernel, _ = classifier.ridge(inputs, aims, shares, np.arange(60))
    gradient = (inputs.T * shares) @ (inputs @ kernel - aims) + classifier.PENALTY * kernel
    assert np.abs(gradient).max() < 1e-12


@pytest.mark.parametrize("size", [1, 6])
def test_a_block_left_out_is_judged_by_a_solution_without_it(rng, size):
    inputs, labels = heard(rng)
    shares, aims, numbers = rng.random(60) / 30, np.eye(CLASSES)[labels], np.arange(60) // size
    _, left_out = classifier.ridge(inputs, aims, shares, numbers)
    for number in (0, 3, numbers[-1]):
        others = numbers != number
        kernel, _ = classifier.ridge(inputs[others], aims[others], shares[others], numbers[others])
        np.testing.assert_allclose(left_out[~others], inputs[~others] @ kernel, atol=1e-10)


def test_blocks_are_stretches_of_every_class():
    """Sounds of one folder stand beside each other: next to none of them may vouch for one that is left out."""
    labels = np.repeat([0, 1, 2], [40, 7, 20])
    numbers = classifier.blocks(labels)
    for label, count in ((0, 10), (1, 7), (2, 10)):
        own = numbers[labels == label]
        assert (np.diff(own) >= 0).all()
        assert len(set(own)) == count
    assert set(classifier.blocks(labels[labels == 1])) <= set(range(classifier.BLOCKS))


def test_confidence_is_that_of_other_folders(rng):
    """Each folder is alike within, and its class says little: a head is not as sure as its own folder makes it."""
    folders, inside = 20, 6
    labels = np.arange(folders) % 2
    centres = 3 * rng.standard_normal((folders, 12)) + labels[:, None] * 0.5
    order = np.argsort(labels, kind="stable")
    inputs = (centres[order][:, None] + 0.1 * rng.standard_normal((folders, inside, 12))).reshape(-1, 12)
    truth, shares = np.eye(2)[np.repeat(labels[order], inside)], np.full(folders * inside, 1 / (folders * inside))
    numbers = classifier.blocks(np.repeat(labels[order], inside))
    found = [
        classifier.sharpness(classifier.ridge(inputs, truth - 0.5, shares, groups)[1] + 0.5, truth, shares)
        for groups in (np.arange(len(numbers)), numbers)
    ]
    assert found[1] < found[0] / 2


def test_what_tells_classes_apart_weighs_more(rng):
    inputs, labels = heard(rng, sounds=300)
    weights = np.where(np.arange(300) < 280, 1.0, 0.0)
    inputs[280:] = 1e6  # weightless
    relevance = classifier.relevance(inputs, labels, weights)
    assert relevance[:CLASSES].min() > 4 * relevance[CLASSES:].max()
    np.testing.assert_allclose(np.sqrt((relevance**2).mean()), 1 / classifier.WIDTH, rtol=1e-5)
    gap = np.where(labels == 1, 3, labels)  # a class without sounds
    np.testing.assert_allclose(classifier.relevance(inputs, gap, weights), relevance, rtol=1e-5)
    for same in (np.full(300, -1), np.zeros(300, int)):
        np.testing.assert_allclose(classifier.relevance(inputs, same, weights), 1 / classifier.WIDTH, rtol=1e-5)


def test_the_sharpness_is_the_best(rng):
    """Odds that are off by a factor are put right; scores that say nothing stay near even odds."""
    truth = np.eye(CLASSES)[rng.integers(0, CLASSES, 4000)]
    scores = truth + rng.standard_normal(truth.shape)  # whose log odds are these scores themselves
    shares = np.full(4000, 1 / 4000)
    assert classifier.sharpness(scores / 8, truth, shares) == pytest.approx(8, rel=0.1)
    noise = rng.standard_normal(truth.shape)
    assert classifier.sharpness(noise, truth, shares) == pytest.approx(classifier.SHARPNESS[0], rel=1e-2)


def test_axes_are_those_of_likeness(rng):
    """Products along them are the likeness itself, also where sounds are known twice."""
    points = np.resize(rng.standard_normal((12, 4)), (20, 4))
    among = np.exp(-((points[:, None] - points[None]) ** 2).sum(axis=2) / 8)
    axes = classifier.whitening(among)
    assert axes.shape[1] <= 12
    np.testing.assert_allclose(among @ axes @ (among @ axes).T, among, atol=1e-3)


def test_unknown_labels_and_weightless_sounds_say_nothing(rng):
    inputs, labels = heard(rng)
    weights = np.ones(len(inputs))
    whole = classifier.solve(inputs, labels, weights, CLASSES)
    more = classifier.solve(
        np.concatenate([9 * rng.standard_normal((8, 7)), inputs]),
        np.concatenate([np.full(4, -1), np.zeros(4, int), labels]),
        np.concatenate([np.ones(4), np.zeros(4), weights]),
        CLASSES,
    )
    for found, expected in zip(more, whole, strict=True):
        np.testing.assert_array_equal(found, expected)


def test_a_weight_of_two_is_two_sounds(rng):
    inputs, labels = heard(rng)
    aims, weights = np.eye(CLASSES)[labels], np.where(np.arange(60) < 20, 2.0, 1.0) / 80
    weighted, _ = classifier.ridge(inputs, aims, weights, np.arange(60))
    twice = (np.concatenate([part, part[:20]]) for part in (inputs, aims))
    repeated, _ = classifier.ridge(*twice, np.full(80, 1 / 80), np.arange(80))
    np.testing.assert_allclose(weighted, repeated, atol=1e-12)
    plain, _ = classifier.ridge(inputs, aims, np.full(60, 1 / 60), np.arange(60))
    assert np.abs(plain - weighted).max() > 1e-3


def test_without_labels_a_head_says_nothing(rng):
    kernel, bias = classifier.solve(heard(rng)[0], np.full(60, -1), np.ones(60), CLASSES)
    assert kernel.shape == (7, CLASSES)
    assert not kernel.any()
    assert not bias.any()


@pytest.fixture
def sounds(tiny, rng):
    """Sounds of three classes, labelled in part, and a model for them."""
    levels = rng.integers(0, 90, (30, tiny.audio.frames, tiny.audio.n_mels)).astype(np.uint8)
    length = np.arange(30) % 3
    levels[:, 10:] //= (1 + 2 * length[:, None, None]).astype(np.uint8)
    labels = np.where(np.arange(30) < 18, length, -1).astype(np.int32)
    config = Config(tiny.audio, dataclasses.replace(tiny.model, labels=(("length", ("a", "b", "c")),)), tiny.train)
    model = models.create(config.model, config.audio, jax.random.key(0))
    scale = timbre.fit(levels, config.model.cepstra, detailed=True)._asdict()
    model = dataclasses.replace(model, params={**model.params, "timbre": {**model.params["timbre"], **scale}})
    return model, Sounds(levels, labels, balanced(labels))


def test_classes_are_learnt(sounds):
    model, training = sounds
    fitted = classifier.fitted(model, training)
    chosen = np.asarray(fitted.classify(training.features.astype(np.float32) / 255)).argmax(axis=1)
    labelled = training.labels >= 0
    assert (chosen == training.labels)[labelled].mean() > 0.9


def test_nothing_but_weights_landmarks_and_head_changes(sounds):
    model, training = sounds
    fitted = classifier.fitted(model, training)
    changed = {name for name, part in fitted.params.items() if part is not model.params[name]}
    assert changed == {"timbre", "ear", "head_length"}
    scale = {name: fitted.params["timbre"][name] is model.params["timbre"][name] for name in model.params["timbre"]}
    assert scale == {"centre": True, "spread": True, "weight": False}
    assert jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), fitted.params) == jax.tree.map(
        lambda leaf: (leaf.shape, leaf.dtype), model.params
    )


def test_only_labelled_sounds_are_read(sounds):
    model, training = sounds
    read = []

    class Watched(StoredRows):
        def __init__(self):
            self.shape = training.features.shape

        def __getitem__(self, rows):
            read.extend(rows.tolist())
            return training.features[rows]

    labels = np.where(np.arange(30) < 7, training.labels, -1)
    lazy = training._replace(features=Watched(), labels=labels, weights=balanced(labels))
    classifier.fitted(model, lazy)
    assert set(read) == set(range(7))
