"""Properties of the inverse autoregressive flow, each over a table of constructors, in float64.

What the properties speak of is computed once per constructor, jitted (`facts`); the eager flow is held to the same.
Compiling is most of the time: functions are jitted once per constructor and shape, and the rest is numpy.
"""

from functools import lru_cache
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import norm

from vaelab import flows
from vaelab.flows import IAF, IAFStep

BATCH = 3
FLOWS = {
    "no steps": IAF(latent_dim=3, context_dim=2, num_steps=0, hidden=4),
    "one latent": IAF(latent_dim=1, context_dim=2, num_steps=2, hidden=4),
    "one latent, one hidden unit": IAF(latent_dim=1, context_dim=1, num_steps=1, hidden=1),
    "two latents": IAF(latent_dim=2, context_dim=3, num_steps=5, hidden=16),
    "odd": IAF(latent_dim=3, context_dim=2, num_steps=2, hidden=7, offset=0.0),
    "one step": IAF(latent_dim=7, context_dim=5, num_steps=1, hidden=20, offset=-1.0),
    "hidden below latent": IAF(latent_dim=7, context_dim=4, num_steps=2, hidden=3, offset=1.5),
    "hidden as latent": IAF(latent_dim=7, context_dim=1, num_steps=2, hidden=7),
    "large": IAF(latent_dim=64, context_dim=32, num_steps=5, hidden=96),
    "large, narrow": IAF(latent_dim=64, context_dim=8, num_steps=2, hidden=12, offset=3.0),
}
DIRECTIONS = ("forward", "inverse")
over_the_table = pytest.mark.parametrize("name", FLOWS)


@pytest.fixture(autouse=True)
def float64():
    """64 bits, by the one switch that every supported version of JAX has."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def inputs(flow: IAF, batch: int = BATCH, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Latents (batch, latent) and context (batch, context)."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((batch, flow.latent_dim)), rng.standard_normal((batch, flow.context_dim))


def random_params(flow: IAF, seed: int = 0) -> dict:
    """Normal weights of 0.7 / sqrt(fan_in) and biases of 0.3: unscaled, any flow of 64 latents overflows."""
    shapes = jax.eval_shape(flow.init, jax.random.key(0), *inputs(flow)).get("params", {})
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return rng.standard_normal(leaf.shape) * (0.7 / np.sqrt(leaf.shape[0]) if leaf.ndim == 2 else 0.3)

    return {"params": jax.tree.map(draw, shapes)}


def jacobian(function, z: jax.Array, context: jax.Array):
    """d function(z) / dz of each row, (batch, output, latent) for each output, by automatic differentiation."""

    def of_a_row(z, context):
        return jax.tree.map(lambda part: part[0], function(z[None], context[None]))

    return jax.vmap(jax.jacfwd(of_a_row))(z, context)


@lru_cache
def jitted(flow: IAF | IAFStep):
    """(params, z, context, method="forward") -> what that method gives, compiled once per shape."""
    return jax.jit(flow.apply, static_argnames="method")


@lru_cache
def facts(name: str) -> SimpleNamespace:
    """A flow with random weights, its values, log-dets and Jacobians, and how it depends on its context."""
    flow = FLOWS[name]
    params, (z, context) = random_params(flow), inputs(flow)

    apply = jitted(flow)
    values = {method: apply(params, z, context, method=method) for method in DIRECTIONS}

    @jax.jit
    def jacobians(z):
        return [
            jacobian(lambda z, context, way=way: flow.apply(params, z, context, method=way)[0], z, context)
            for way in DIRECTIONS
        ]

    of = {method: (*values[method], matrix) for method, matrix in zip(DIRECTIONS, jacobians(z), strict=True)}
    of["forward of inverse"] = apply(params, np.asarray(of["inverse"][0]), context, method="forward")
    of["inverse of forward"] = apply(params, np.asarray(of["forward"][0]), context, method="inverse")
    of["other context"] = apply(params, z, context + 1, method="forward")
    return SimpleNamespace(flow=flow, params=params, z=z, context=context, of=jax.tree.map(np.asarray, of))


@lru_cache
def step_facts(name: str) -> SimpleNamespace:
    """Of each step alone, (steps, batch, ...): gates, and the Jacobians of both directions, of m and of the logit."""
    flow = FLOWS[name]
    z, context = inputs(flow)
    step = IAFStep(flow.latent_dim, flow.context_dim, flow.hidden, flow.offset)

    def of_one_step(params):
        def apply(method, z, context):
            return step.apply({"params": params}, z, context, method=method)

        def outputs(z, context):
            return *apply("conditioner", z, context), apply("forward", z, context)[0]

        _, logit, between = outputs(z, context)
        *made, forward = jacobian(outputs, z, context)
        return {
            "logit": logit,
            "forward": forward,
            "inverse": jacobian(lambda z, context: apply("inverse", z, context)[0], between, context),
            "made": made,
            "made_by_context": jacobian(lambda context, z: apply("conditioner", z, context), context, z),
        }

    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *random_params(flow)["params"].values())
    return SimpleNamespace(**jax.tree.map(np.asarray, jax.jit(jax.vmap(of_one_step))(stacked)))


with_steps = pytest.mark.parametrize("name", [name for name, flow in FLOWS.items() if flow.num_steps])


@over_the_table
def test_both_directions_are_inverse_and_their_log_dets_opposite(name):
    known = facts(name)
    for method, back in (("forward", "inverse of forward"), ("inverse", "forward of inverse")):
        between, log_det, _ = known.of[method]
        again, log_det_back = known.of[back]
        assert between.shape == known.z.shape
        assert log_det.shape == (BATCH,)
        np.testing.assert_allclose(again, known.z, rtol=0, atol=1e-9)
        np.testing.assert_allclose(log_det_back, -log_det, rtol=0, atol=1e-9)


@over_the_table
@pytest.mark.parametrize("method", DIRECTIONS)
def test_log_det_is_that_of_the_jacobian(name, method):
    known = facts(name)
    _, log_det, matrices = known.of[method]
    sign, expected = np.linalg.slogdet(matrices)
    np.testing.assert_allclose(log_det, expected, rtol=1e-9, atol=1e-9)
    swaps = known.flow.num_steps * (known.flow.latent_dim // 2)  # of the reversals
    assert (sign == (-1) ** swaps).all()


@over_the_table
def test_eager_is_jitted(name):
    """All that holds of the jitted flow holds of the eager one: same values, same log-dets."""
    known = facts(name)
    for method in DIRECTIONS:
        eager = known.flow.apply(known.params, known.z, known.context, method=method)
        for part, expected in zip(eager, known.of[method], strict=False):
            np.testing.assert_allclose(part, expected, rtol=1e-10, atol=1e-10)


@with_steps
def test_each_step_is_strictly_autoregressive(name):
    """m and logit of entry i know entries before i only; so each step is lower triangular, gates on its diagonal."""
    step = step_facts(name)
    for jacobian_of_made in step.made:
        assert (np.triu(jacobian_of_made) == 0).all()
    assert (np.triu(step.forward, 1) == 0).all()
    gates = 1 / (1 + np.exp(-step.logit))
    np.testing.assert_allclose(np.diagonal(step.forward, axis1=-2, axis2=-1), gates, rtol=1e-12)
    np.testing.assert_allclose(step.inverse, np.linalg.inv(step.forward), rtol=0, atol=1e-8)


@with_steps
def test_the_order_turns_after_each_step(name):
    """The flow is its steps with a reversal after each: the product of their Jacobians is the whole one's."""
    flow = FLOWS[name]
    z, context = facts(name).z, facts(name).context
    step = IAFStep(flow.latent_dim, flow.context_dim, flow.hidden, flow.offset)
    for params in facts(name).params["params"].values():
        z = np.asarray(jitted(step)({"params": params}, z, context, method="forward")[0])[:, ::-1]
    np.testing.assert_allclose(facts(name).of["forward"][0], z, rtol=1e-10, atol=1e-10)


@with_steps
def test_the_network_uses_all_that_the_masks_allow(name):
    """In m and logit: each input that the masks let through, and every entry of the context."""
    flow, step = FLOWS[name], step_facts(name)
    ranks_in, ranks_hidden = flows.ranks(flow.latent_dim, flow.hidden)
    paths = flows.mask(ranks_in, ranks_hidden, False).astype(int) @ flows.mask(ranks_hidden, ranks_in, True)
    for by_z, by_context in zip(step.made, step.made_by_context, strict=True):
        assert ((by_z != 0).all(axis=(0, 1)) == (paths.T > 0)).all()
        assert (by_context != 0).all()


@pytest.mark.parametrize(
    ("latent", "hidden"),
    [(1, 1), (1, 5), (2, 1), (2, 2), (3, 7), (7, 3), (7, 7), (7, 20), (64, 12), (64, 96), (100, 99)],
)
def test_masks_multiply_to_the_dependency_matrix(latent, hidden):
    """Paths through the masks: output i sees inputs 1 to i - 1, all of them when no rank is without a unit."""
    ranks_in, ranks_hidden = flows.ranks(latent, hidden)
    mask_in = flows.mask(ranks_in, ranks_hidden, strict=False)
    mask_out = flows.mask(ranks_hidden, ranks_in, strict=True)
    assert mask_in.shape == (latent, hidden)
    assert mask_out.shape == (hidden, latent)
    sees = (mask_in.astype(int) @ mask_out.astype(int)).T > 0  # (output, input)
    highest = [max(rank for rank in ranks_hidden if rank < output) for output in ranks_in]
    expected = np.array([[source <= rank for source in ranks_in] for rank in highest])
    assert (sees == expected).all()
    assert not np.triu(sees).any()
    if hidden >= latent:
        assert (sees == np.tril(np.ones((latent, latent), bool), -1)).all()
    assert mask_out.any(axis=0).all(), "every output has a hidden unit, and so the context"


@over_the_table
def test_it_starts_as_a_scaling(name):
    """Fresh weights give zK = sigmoid(offset)^K z0, reversed K times, whatever the context."""
    flow = FLOWS[name]
    z, context = inputs(flow)
    gate = 1 / (1 + np.exp(-flow.offset))
    expected = gate**flow.num_steps * (z[:, ::-1] if flow.num_steps % 2 else z)
    key = jax.random.key(0, impl="rbg")  # compiles in half the time of the default
    (out, log_det), params = jax.jit(lambda key: flow.init_with_output(key, z, context))(key)
    assert set(params) <= {"params"}
    np.testing.assert_allclose(out, expected, rtol=1e-14, atol=0)
    np.testing.assert_allclose(log_det, flow.num_steps * flow.latent_dim * np.log(gate), rtol=1e-14, atol=0)


@over_the_table
def test_context_matters(name):
    """Another context gives another value of every latent and another log-det; without steps it cannot."""
    known = facts(name)
    for part, changed in zip(known.of["forward"][:2], known.of["other context"], strict=True):
        assert (part != changed).all() if known.flow.num_steps else (part == changed).all()


@pytest.mark.parametrize("name", ["one latent", "one step"])
def test_rows_of_a_batch_do_not_see_each_other(name):
    """A row alone, with another batch size, gives what it gives among others."""
    known = facts(name)
    for method in DIRECTIONS:
        alone = jitted(known.flow)(known.params, known.z[1:2], known.context[1:2], method=method)
        for whole, row in zip(known.of[method], alone, strict=False):
            np.testing.assert_allclose(whole[1:2], row, rtol=1e-10, atol=1e-10)


def weighted_sum(flow: IAF, ways: tuple[str, ...] = DIRECTIONS):
    """(params, z, context) -> one number in which every entry of each direction's value and log-det counts."""

    def total(params, z, context):
        rng = np.random.default_rng(2)
        parts = [part for method in ways for part in flow.apply(params, z, context, method=method)]
        return sum((rng.standard_normal(part.shape).astype(part.dtype) * part).sum() for part in parts)

    return total


@lru_cache
def value_and_gradients(flow: IAF):
    """`weighted_sum` and its gradients by params, z and context, jitted."""
    return jax.jit(jax.value_and_grad(weighted_sum(flow), argnums=(0, 1, 2)))


@over_the_table
def test_gradients_against_finite_differences(name):
    """By z, context and every weight at once, along three random directions, through both directions of the flow."""
    known = facts(name)
    point = (known.params, known.z, known.context)
    function = value_and_gradients(known.flow)
    gradient = [np.asarray(leaf) for leaf in jax.tree.leaves(function(*point)[1])]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        way = jax.tree.map(lambda leaf, rng=rng: rng.standard_normal(leaf.shape), point)
        ahead, behind = (
            float(function(*jax.tree.map(lambda leaf, step, h=h: leaf + h * step, point, way))[0])
            for h in (1e-6, -1e-6)
        )
        slope = sum((leaf * step).sum() for leaf, step in zip(gradient, jax.tree.leaves(way), strict=True))
        assert (ahead - behind) / 2e-6 == pytest.approx(float(slope), rel=1e-6)


def test_eager_gradients_are_jitted_ones():
    known = facts("one step")
    point = (known.params, known.z, known.context)
    eager = jax.grad(weighted_sum(known.flow), argnums=(0, 1, 2))(*point)
    _, expected = value_and_gradients(known.flow)(*point)
    for leaf, other in zip(jax.tree.leaves(eager), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-9, atol=1e-9)


def test_a_density_integrates_to_one():
    """q(zK) = N(z0; 0, I) |det dz0 / dzK| on a grid of the plane, and it is not a Gaussian."""
    flow = FLOWS["two latents"]
    params = jax.tree.map(lambda leaf: 2 * leaf, random_params(flow, seed=5))
    side = np.linspace(-9, 9, 361)
    z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    z0, log_det = map(np.asarray, jitted(flow)(params, z, np.ones((1, flow.context_dim)), method="inverse"))
    cell = (side[1] - side[0]) ** 2
    mass = np.exp(norm.logpdf(z0).sum(axis=-1) + log_det) * cell
    assert mass.sum() == pytest.approx(1, abs=1e-4)
    centred = z - mass @ z
    covariance = (centred * mass[:, None]).T @ centred
    gaussian = np.exp(-0.5 * np.einsum("ni,ij,nj->n", centred, np.linalg.inv(covariance), centred))
    gaussian *= cell / (2 * np.pi * np.sqrt(np.linalg.det(covariance)))
    assert np.abs(mass - gaussian).sum() > 0.05


@over_the_table
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64, jnp.bfloat16])
def test_dtype_follows_the_latents(name, dtype):
    """Whatever the types of weights and context."""
    known = facts(name)
    for method in DIRECTIONS:
        out = jax.eval_shape(
            lambda z, context, method=method: known.flow.apply(known.params, z, context, method=method),
            jnp.asarray(known.z, dtype),
            jnp.asarray(known.context, jnp.float32),
        )
        assert {part.dtype for part in out} == {jnp.dtype(dtype)}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["odd", "large"])
def test_smaller_floats_round_and_no_more(name, dtype):
    """The value of 64 bits within the type's rounding, and (32 bits) the round trip at the default size."""
    known = facts(name)
    flow, eps = known.flow, float(jnp.finfo(dtype).eps)
    z, context = known.z.astype(jnp.dtype(dtype)), known.context.astype(jnp.dtype(dtype))
    between, log_det = map(np.asarray, jitted(flow)(known.params, z, context, method="forward"))
    for rounded, exact in zip((between, log_det), known.of["forward"], strict=False):
        size = np.abs(exact).max()
        np.testing.assert_allclose(rounded.astype(np.float64), exact, rtol=0, atol=10 * flow.num_steps * eps * size)
    if dtype == jnp.float32:
        again, log_det_back = jitted(flow)(known.params, between, context, method="inverse")
        np.testing.assert_allclose(again, z, rtol=0, atol=1e-4)
        np.testing.assert_allclose(log_det_back, -log_det, rtol=1e-5)


@pytest.mark.parametrize("name", ["one latent", "odd", "large"])
def test_extreme_gates_stay_finite(name):
    """Values, log-dets and gradients in 32 bits, at logits whose sigmoid rounds to 0 or 1.

    Of both directions, but for 64 latents: there the inverse of shut gates is larger than any float.
    """
    flow = FLOWS[name]
    z, context = (part.astype(np.float32) for part in inputs(flow))
    ways = DIRECTIONS if flow.latent_dim < 64 else ("forward",)
    total = jax.jit(jax.value_and_grad(weighted_sum(flow, ways), argnums=(0, 1, 2)))
    for logit in (-200.0, 200.0):
        params = jax.tree.map(lambda leaf: leaf.astype(np.float32), random_params(flow))
        for step in params["params"].values():
            step["b_s"] = np.full_like(step["b_s"], logit)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(total(params, z, context)))
        least = np.log1p(np.exp(-max(logit, flows.LEAST_LOGIT)))
        log_det = jitted(flow)(params, z, context, method="forward")[1]
        np.testing.assert_allclose(log_det, -flow.num_steps * flow.latent_dim * least, rtol=1e-5, atol=1e-30)


@pytest.mark.parametrize("logit", [-200.0, flows.LEAST_LOGIT, 200.0])
def test_extreme_gates_can_be_inverted(logit):
    """The floor makes a shut gate a small one, in both directions alike."""
    flow = IAF(latent_dim=2, context_dim=3, num_steps=1, hidden=8)
    z, context = inputs(flow)
    params = random_params(flow)
    params["params"]["flow_0"]["b_s"] = np.full(flow.latent_dim, logit - flow.offset)
    params["params"]["flow_0"]["w_s"] *= 0
    between, log_det = map(np.asarray, jitted(flow)(params, z, context, method="forward"))
    again, log_det_back = jitted(flow)(params, between, context, method="inverse")
    np.testing.assert_allclose(again, z, rtol=0, atol=1e-9)
    np.testing.assert_allclose(log_det_back, -log_det, rtol=1e-12)


def test_the_floor_is_where_it_says():
    """A logit just above the floor is kept, one below is raised to it; m is free."""
    step = IAFStep(latent_dim=2, context_dim=1, hidden=3, offset=0.0)
    z, context = np.ones((1, 2)), np.ones((1, 1))
    params = random_params(IAF(latent_dim=2, context_dim=1, num_steps=1, hidden=3))["params"]["flow_0"]
    params |= {"w_m": np.zeros((3, 2)), "w_s": np.zeros((3, 2))}
    params |= {"b_m": np.array([5.0, -5.0]), "b_s": np.array([flows.LEAST_LOGIT + 0.5, flows.LEAST_LOGIT - 0.5])}
    m, logit = jitted(step)({"params": params}, z, context, method="conditioner")
    assert m.tolist() == [[5.0, -5.0]]
    assert logit.tolist() == [[flows.LEAST_LOGIT + 0.5, flows.LEAST_LOGIT]]


def test_many_latents_may_share_one_context():
    """A context of one row serves a whole batch, in both directions."""
    known = facts("odd")
    for method in DIRECTIONS:
        shared = jitted(known.flow)(known.params, known.z, known.context[:1], method=method)
        repeated = jitted(known.flow)(known.params, known.z, np.repeat(known.context[:1], BATCH, axis=0), method=method)
        for part, expected in zip(shared, repeated, strict=True):
            np.testing.assert_allclose(part, expected, rtol=1e-12)


def test_no_step_is_the_identity():
    known = facts("no steps")
    for method in DIRECTIONS:
        value, log_det, _ = known.of[method]
        assert (value == known.z).all()
        assert (log_det == 0).all()
