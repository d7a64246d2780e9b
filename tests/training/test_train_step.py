"""Steps: the average follows, a loop on the device does what single steps do, bfloat16 and dropout train."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaelab import model as models
from vaelab.config import Config, ModelConfig
from vaelab.models import devices
from vaelab.models.evaluate import Sounds, balanced
from vaelab.training import train_step
from vaelab.training.batches import sounds_of

SOUNDS = 16


@pytest.fixture(scope="module")
def case(tiny):
    """A small config, its model, and sounds with structure to learn."""
    model = ModelConfig(
        latent_dim=4,
        components=0,
        width=8,
        downsamples=1,
        depth=1,
        hidden=8,
        flow_steps=1,
        flow_hidden=4,
        labels=(("class", ("a", "b")),),
    )
    config = Config(tiny.audio, model, dataclasses.replace(tiny.train, steps_per_dispatch=8))
    rng = np.random.default_rng(0)
    shape = rng.integers(0, 200, (2, tiny.audio.frames, tiny.audio.n_mels))
    labels = (np.arange(SOUNDS) % 2).astype(np.int32)
    features = (shape[labels] + rng.integers(0, 20, (SOUNDS, *shape.shape[1:]))).astype(np.uint8)
    made = models.create(config.model, config.audio, jax.random.key(0))
    return config, made, Sounds(features, labels, balanced(labels))


def run(case, count, config=None, looped=None, repeat=1):
    """The state and the losses after so many steps."""
    default, made, sounds = case
    config = config or default
    mesh = devices.mesh(config.train.batch_size)
    trained, fixed = models.trainable(made.params)
    state = devices.place(train_step.start(trained, config.train), devices.everywhere(mesh))
    data = train_step.Data(*devices.place((fixed, sounds.features), devices.everywhere(mesh)))
    numbers = np.full(config.train.steps_per_dispatch, 1e-3, np.float32)
    key, losses = devices.place_key(jax.random.key(1), mesh), []
    for part in range(repeat):
        chosen = sounds_of(0, part * count, count, config.train, SOUNDS)
        batches = train_step.Batches(chosen, numbers, np.ones_like(numbers), np.int32(count))
        module = dataclasses.replace(made, config=config.model).module
        state, metrics = train_step.run_steps(state, data, batches, key, module, config, mesh, looped)
        losses += np.asarray(jax.device_get(metrics["train_loss"])).tolist()
    return jax.device_get(state), losses


def test_the_average_follows_the_weights(case):
    """After the first step the average is a tenth of the start and nine tenths of the new weights."""
    state, _ = run(case, 1)
    leaves = (jax.tree.leaves(tree) for tree in (models.trainable(case[1].params)[0], state.params, state.average))
    for old, new, average in zip(*leaves, strict=True):
        np.testing.assert_allclose(average, 0.1 * np.asarray(old) + 0.9 * new, atol=1e-6)
    assert state.step == 1


def test_the_start_is_optaxs(case):
    config, made, _ = case
    expected = train_step.optimiser(config.train).init(models.trainable(made.params)[0])
    found = train_step.start(models.trainable(made.params)[0], config.train).optimiser
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for ours, theirs in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        np.testing.assert_array_equal(ours, theirs)
        assert ours.dtype == theirs.dtype


def test_a_loop_on_the_device_does_the_same(case):
    single, losses = run(case, 5, looped=False)
    looped, same = run(case, 5, looped=True)
    assert len(losses) == len(same) == 5
    np.testing.assert_allclose(same, losses, rtol=1e-5)
    assert looped.step == single.step == 5
    for ours, theirs in zip(jax.tree.leaves(looped.params), jax.tree.leaves(single.params), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_bfloat16_trains_and_keeps_float32(case):
    config = dataclasses.replace(case[0], train=dataclasses.replace(case[0].train, precision="bfloat16"))
    state, losses = run(case, 8, config, repeat=4)
    _, exact = run(case, 8, repeat=4)
    assert losses != exact
    np.testing.assert_allclose(losses, exact, rtol=0.05)
    assert np.mean(losses[-4:]) < 0.9 * np.mean(losses[:4])
    assert {leaf.dtype for leaf in jax.tree.leaves(state.params)} == {np.dtype(np.float32)}


def test_bfloat16_reaches_encoder_and_decoder(case):
    """Every convolution of the step is one of bfloat16 numbers, and nothing else is left in float32 by mistake."""
    default, made, _ = case
    config = dataclasses.replace(default, train=dataclasses.replace(default.train, precision="bfloat16"))
    trained, fixed = models.trainable(made.params)
    state = train_step.start(trained, config.train)
    batch = np.zeros((8, config.audio.frames, config.audio.n_mels), np.uint8)
    one = np.float32(1)
    step = jax.make_jaxpr(
        lambda state: train_step.one_step(state, fixed, batch, jax.random.key(0), one, one, made.module, config)
    )(state)
    found = list(convolutions(step.jaxpr))
    assert len(found) > 10
    assert {variable.aval.dtype for equation in found for variable in equation.invars} == {np.dtype(jnp.bfloat16)}


def convolutions(jaxpr):
    """All convolutions of a program, also those inside of calls."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            yield equation
        for value in equation.params.values():
            if hasattr(inner := getattr(value, "jaxpr", value), "eqns"):
                yield from convolutions(inner)


def test_dropout_is_drawn_anew_each_step(case):
    config = dataclasses.replace(case[0], model=dataclasses.replace(case[0].model, dropout=0.5))
    _, losses = run(case, 8, config)
    _, plain = run(case, 8)
    assert losses != plain
    assert losses == run(case, 8, config)[1]
