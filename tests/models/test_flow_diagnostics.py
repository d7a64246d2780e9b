"""Stages of the flow end where the model's own sampling ends; a plain Gaussian neither leans nor bends."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vaelab import model
from vaelab.models import flow_diagnostics

KEY = jax.random.key(3)


def made(tiny, steps, size):
    """A model whose flow has random weights of this size."""
    fresh = model.create(replace(tiny.model, flow_steps=steps), tiny.audio, jax.random.key(0))
    leaves, tree = jax.tree.flatten(fresh.params["flow"]) if steps else ([], None)
    keys = jax.random.split(jax.random.key(1), max(1, len(leaves)))
    noisy = [leaf + size * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=False)]
    return replace(fresh, params={**fresh.params, "flow": jax.tree.unflatten(tree, noisy)}) if steps else fresh


@pytest.fixture(scope="module")
def features(tiny):
    return np.random.default_rng(0).random((1, tiny.audio.frames, tiny.audio.n_mels)).astype(np.float32)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_the_last_stage_is_what_the_model_draws(tiny, features, steps):
    flowing = made(tiny, steps, 0.3)
    draws = flow_diagnostics.draw(flowing, features, KEY, 50)
    assert draws.stages.shape == (steps + 1, 50, tiny.model.latent_dim)
    eps = jax.random.normal(KEY, (50, tiny.model.latent_dim))
    z = flowing.encode(jnp.repeat(jnp.asarray(features), 50, axis=0), eps)
    np.testing.assert_allclose(draws.stages[-1], z, atol=1e-5)
    np.testing.assert_allclose(draws.log_q, flowing.log_q(features, z), atol=1e-3)


@pytest.mark.parametrize("steps", [1, 2])
def test_a_flow_that_begins_keeps_the_order_of_the_latents(tiny, features, steps):
    """At first a step only narrows, so that each latent must go with itself through all stages."""
    draws = flow_diagnostics.draw(made(tiny, steps, 0.0), features, KEY, 500)
    for before, after in zip(draws.stages[0].T, draws.stages[-1].T, strict=True):
        assert np.corrcoef(before, after)[0, 1] > 0.999


def test_only_a_flow_leans_and_bends(tiny, features):
    plain = flow_diagnostics.shape(flow_diagnostics.draw(made(tiny, 0, 0.0), features, KEY))
    assert plain.total_correlation == pytest.approx(0, abs=0.05)
    assert plain.negentropy == pytest.approx(0, abs=0.05)
    draws = flow_diagnostics.draw(made(tiny, 2, 1.0), features, KEY)
    turned = flow_diagnostics.shape(draws)
    assert turned.total_correlation > 0.2
    assert turned.negentropy > 0.2
    first, second = flow_diagnostics.most_correlated_pair(draws)
    assert first < second


def test_chance_is_no_shape_of_a_flow(tiny, features):
    """Few draws seem correlated; those of a flow that does nothing are so no more than before it."""
    draws = flow_diagnostics.draw(made(tiny, 2, 0.0), features, KEY, 50)
    assert flow_diagnostics.shape(draws).total_correlation > 0.1
    assert flow_diagnostics.shape_of_flow(draws).total_correlation == pytest.approx(0, abs=1e-3)
    turned = flow_diagnostics.shape_of_flow(flow_diagnostics.draw(made(tiny, 2, 1.0), features, KEY))
    assert turned.total_correlation > 0.2
    assert turned.negentropy > 0.2


def test_kl_is_the_models(tiny, features):
    flowing = made(tiny, 2, 0.3)
    draws = flow_diagnostics.draw(flowing, features, KEY, 2000)
    eps = jax.random.normal(KEY, (2000, tiny.model.latent_dim))
    terms = flowing.module.apply(
        {"params": flowing.params}, jnp.repeat(jnp.asarray(features), 2000, axis=0), eps, -jnp.ones(2000, jnp.int32)
    )
    assert flow_diagnostics.kl(draws) == pytest.approx(float(terms.kl.mean()), rel=1e-3)
