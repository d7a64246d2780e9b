"""The IAF-VAE against its equations, and every knob and shape it promises to take."""

import dataclasses
import math
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from vaelab import flows
from vaelab import model as models
from vaelab.config import LIKELIHOODS, AudioConfig, ModelConfig
from vaelab.model import IAFVAE, LEVELS, Model, ShapeError, Terms, create, negative_elbo, trainable
from vaelab.models import checkpoint
from vaelab.networks import Posterior
from vaelab.spectral import AUDIBLE

BATCH = 3
LABELS = (("kind", ("kick", "snare", "hat")),)
TINY = ModelConfig(
    latent_dim=3, components=5, width=4, depth=1, downsamples=2, hidden=6, flow_steps=2, flow_hidden=7, labels=LABELS
)


def clip(frames: int, mels: int) -> AudioConfig:
    """A front end of so many frames and mels."""
    audio = AudioConfig(sample_rate=8000, clip_seconds=frames * 32 / 8000, n_fft=64, hop_length=32, n_mels=mels)
    assert (audio.frames, audio.n_mels) == (frames, mels)
    return audio


CLIP = clip(frames=11, mels=5)


@pytest.fixture
def float64():
    """64 bits, by the one switch that every supported version of JAX has."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


def batch(config: ModelConfig = TINY, audio: AudioConfig = CLIP, dtype=np.float64) -> tuple[np.ndarray, ...]:
    """Features, noise and labels; the last sound's label is unknown."""
    rng = np.random.default_rng(1)
    features = rng.random((BATCH, audio.frames, audio.n_mels)).astype(dtype)
    eps = rng.standard_normal((BATCH, config.latent_dim)).astype(dtype)
    labels = [rng.integers(len(config.classes)) if config.classes else -1 for _ in range(BATCH - 1)]
    return features, eps, np.array([*labels, -1], np.int32)


@lru_cache
def random_model(config: ModelConfig = TINY, audio: AudioConfig = CLIP, dtype: type = np.float64) -> Model:
    """Weights scaled by fan-in, none of them zero: a model as training leaves it, without compiling its start."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        if leaf.ndim == 1:
            return (0.5 + 0.3 * rng.standard_normal(leaf.shape)).astype(dtype)
        return (rng.standard_normal(leaf.shape) / np.sqrt(math.prod(leaf.shape[:-1]))).astype(dtype)

    return jax.tree.map(draw, jax.eval_shape(lambda key: create(config, audio, key), jax.random.key(0)))


@partial(jax.jit, static_argnames="method")
def apply(model: Model, *arguments, method="terms"):
    """Call a method of the module, by name or as a function of it."""
    return model.module.apply({"params": model.params}, *arguments, method=method)


# --- the ELBO ---------------------------------------------------------------------------------------------------------


def decoder_output(module: IAFVAE, z: jax.Array) -> jax.Array:
    """Before it is made features."""
    return module.output(z)


def slow_elbo(model, posterior, x, eps) -> float:
    """log p(x|zK) + log p(zK) - log q(zK|x) of one sound, number by number, as Kingma et al. 2016 write it."""
    params, config = model.params, model.config
    mean, log_std, context = (np.asarray(part).tolist() for part in posterior[:3])
    size, hidden = config.latent_dim, config.flow_hidden
    z = [mean[i] + math.exp(log_std[i]) * eps[i] for i in range(size)]
    log_q = sum(-(eps[i] ** 2) / 2 - math.log(2 * math.pi) / 2 - log_std[i] for i in range(size))
    for k in range(config.flow_steps):
        w = {name: leaf.tolist() for name, leaf in params["flow"][f"flow_{k}"].items()}
        turned = []
        for i in range(size):
            m, s = w["b_m"][i], w["b_s"][i]
            for unit in range(hidden):
                rank = unit * size // hidden  # sees the first `rank` latents
                if rank > i:
                    continue
                a = w["b_in"][unit] + sum(z[j] * w["w_in"][j][unit] for j in range(rank))
                a += sum(context[c] * w["w_context"][c][unit] for c in range(len(context)))
                a = a if a > 0 else math.exp(a) - 1
                m, s = m + a * w["w_m"][unit][i], s + a * w["w_s"][unit][i]
            gate = 1 / (1 + math.exp(-max(s + config.flow_offset, flows.LEAST_LOGIT)))
            turned.append(gate * z[i] + (1 - gate) * m)
            log_q -= math.log(gate)
        z = turned[::-1]
    log_p = sum(-(value**2) / 2 - math.log(2 * math.pi) / 2 for value in z)
    output, log_p_x = np.asarray(apply(model, np.array([z]), method=decoder_output))[0], 0.0
    for frame in range(x.shape[0]):
        for band in range(x.shape[1]):
            if config.likelihood != "cross_entropy":
                scale = 0.5 + math.exp(params["log_scale"][band])
                far = abs(255 * x[frame, band] - 255 * output[frame, band])
                if config.likelihood == "censored" and x[frame, band] <= AUDIBLE:
                    room = (255 * AUDIBLE - 255 * output[frame, band]) / scale
                    log_p_x += math.log(1 - math.exp(-room) / 2 if room > 0 else math.exp(room) / 2)
                else:
                    log_p_x += -math.log(2 * scale) - far / scale
            else:
                p = 1 / (1 + math.exp(-output[frame, band]))
                log_p_x += x[frame, band] * math.log(p) + (1 - x[frame, band]) * math.log(1 - p)
    return log_p_x + log_p - log_q


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_elbo_is_that_of_a_slow_loop(likelihood, float64):
    model = random_model(dataclasses.replace(TINY, likelihood=likelihood))
    features, eps, labels = batch()
    elbo = -np.asarray(negative_elbo(apply(model, features, eps, labels)))
    posterior = jax.tree.map(np.asarray, apply(model, features, method="posterior"))
    for row in range(BATCH):
        of_the_row = Posterior(*(part[row] for part in posterior))
        expected = slow_elbo(model, of_the_row, features[row], eps[row])
        assert elbo[row] == pytest.approx(expected, rel=1e-10)


def plane(steps: int) -> tuple[Model, Posterior]:
    """A model with two latents and one posterior of it, not centred and narrower than the prior."""
    model = random_model(dataclasses.replace(TINY, latent_dim=2, flow_steps=steps))
    context = np.random.default_rng(4).standard_normal((1, TINY.hidden))
    return model, Posterior(np.array([[0.9, -0.7]]), np.array([[-0.4, 0.3]]), context)


@pytest.mark.parametrize("steps", [0, 3])
def test_kl_by_draws_is_kl_by_density(steps, float64):
    """The mean of many draws, the integral of q log(q / p) over the plane and, with no flow, the closed form."""
    model, posterior = plane(steps)
    eps = np.random.default_rng(0).standard_normal((200_000, 2))
    kl = np.asarray(apply(model, posterior, eps, method="sample")[1])
    error = float(kl.std()) / math.sqrt(len(eps))
    side = np.linspace(-8, 8, 401)
    z = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    log_q = np.asarray(apply(model, posterior, z, method="log_q"))
    mass = np.exp(log_q) * (side[1] - side[0]) ** 2
    assert mass.sum() == pytest.approx(1, abs=1e-5)
    integral = float((mass * (log_q - stats.norm.logpdf(z).sum(axis=1))).sum())
    assert error < 0.01
    assert float(kl.mean()) == pytest.approx(integral, abs=4 * error)
    if steps == 0:
        mean, log_std = posterior.mean, posterior.log_std
        closed = 0.5 * (np.exp(2 * log_std) + mean**2 - 1 - 2 * log_std).sum()
        assert integral == pytest.approx(closed, abs=1e-5)


def test_density_of_a_draw_is_the_density_it_was_drawn_with(float64):
    """log_q by the flow's inverse, of z alone, against the log q that went into the KL."""
    model = random_model()
    features, eps, _ = batch()
    posterior = apply(model, features, method="posterior")
    z, kl = map(np.asarray, apply(model, posterior, eps, method="sample"))
    log_q = np.asarray(model.log_q(features, z))
    np.testing.assert_allclose(log_q, kl + stats.norm.logpdf(z).sum(axis=1), rtol=1e-9)
    np.testing.assert_allclose(np.asarray(model.log_q(features[:1], z))[0], log_q[0], rtol=1e-9)


def test_laplace_is_that_of_scipy(float64):
    model = random_model(dataclasses.replace(TINY, likelihood="laplace"))
    features = batch()[0]
    output = np.random.default_rng(3).standard_normal(features.shape)
    scale = 0.5 + np.exp(model.params["log_scale"])
    expected = -stats.laplace.logpdf(255 * features, loc=255 * output, scale=scale).sum(axis=(1, 2))
    np.testing.assert_allclose(apply(model, features, output, method="recon"), expected, rtol=1e-12)


def test_cross_entropy_is_that_of_numpy(float64):
    """And with logits so large that a naive form would be infinite."""
    model = random_model(dataclasses.replace(TINY, likelihood="cross_entropy"))
    features = batch()[0]
    logits = np.random.default_rng(3).standard_normal(features.shape)
    p = 1 / (1 + np.exp(-logits))
    expected = -(features * np.log(p) + (1 - features) * np.log1p(-p)).sum(axis=(1, 2))
    np.testing.assert_allclose(apply(model, features, logits, method="recon"), expected, rtol=1e-12)
    for sure in (-1e4, 1e4):
        nats = apply(model, features, np.full_like(features, sure), method="recon")
        wrong = features if sure < 0 else 1 - features
        np.testing.assert_allclose(nats, 1e4 * wrong.sum(axis=(1, 2)), rtol=1e-9)


def test_a_silent_band_earns_no_more_than_certainty():
    """A band predicted exactly costs nothing at best, however small its scale grows: recon is never negative."""
    model = random_model(dtype=np.float32)
    features = np.zeros((1, CLIP.frames, CLIP.n_mels), np.float32)

    def recon(log_scale):
        params = {"log_scale": np.full(CLIP.n_mels, log_scale, np.float32)}
        return np.asarray(apply(dataclasses.replace(model, params=params), features, features, method="recon"))[0]

    nats = [float(recon(log_scale)) for log_scale in (3.0, 0.0, -10.0, -1000.0)]
    assert nats == sorted(nats, reverse=True)
    assert nats[-1] == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_gradients_against_finite_differences(likelihood, float64):
    """Of the whole loss, by every weight at once, along three random directions."""
    model = random_model(dataclasses.replace(TINY, likelihood=likelihood))
    arguments = batch()

    @jax.jit
    @jax.value_and_grad
    def loss(params):
        terms = apply(dataclasses.replace(model, params=params), *arguments)
        return (negative_elbo(terms, beta=0.7, free_bits=0.1) + 3 * terms.classes).mean()

    gradient = [np.asarray(leaf) for leaf in jax.tree.leaves(loss(model.params)[1])]
    for seed in range(3):
        rng = np.random.default_rng(seed)
        way = jax.tree.map(lambda leaf, rng=rng: rng.standard_normal(leaf.shape), model.params)
        ahead, behind = (
            float(loss(jax.tree.map(lambda leaf, step, h=h: leaf + h * step, model.params, way))[0])
            for h in (1e-7, -1e-7)
        )
        slope = sum((leaf * step).sum() for leaf, step in zip(gradient, jax.tree.leaves(way), strict=True))
        assert (ahead - behind) / 2e-7 == pytest.approx(float(slope), rel=1e-5)


# --- beta and free bits -----------------------------------------------------------------------------------------------


def terms_of(kl) -> Terms:
    """Terms with a given KL and a recon of 10, 20, ..."""
    kl = jnp.asarray(kl, jnp.float32)
    zeros = jnp.zeros(len(kl))
    return Terms(10.0 * (1 + jnp.arange(len(kl))), kl, zeros, zeros, zeros, zeros.astype(int))


def test_by_default_it_is_the_elbo_itself():
    """Also where one draw of the KL is negative: cutting it off would bias the bound."""
    assert negative_elbo(terms_of([1.0, -2.0])).tolist() == [11.0, 18.0]
    assert negative_elbo(terms_of([1.0, -2.0]), beta=0.5).tolist() == [10.5, 19.0]


@pytest.mark.parametrize(("free_bits", "kl_counts"), [(4.0, True), (6.0, False)])
def test_free_bits_compare_with_the_batch_mean(free_bits, kl_counts):
    """The mean loss is mean(recon) + beta max(mean(kl), free bits); below, the KL pulls at no sound."""
    kl = jnp.array([1.0, 9.0])

    def mean_loss(kl):
        return negative_elbo(terms_of(kl), 2.0, free_bits).mean()

    loss, gradient = jax.value_and_grad(mean_loss)(kl)
    assert float(loss) == 15 + 2 * max(5.0, free_bits)
    assert gradient.tolist() == ([1.0, 1.0] if kl_counts else [0.0, 0.0])


# --- labels -----------------------------------------------------------------------------------------------------------


def test_cross_entropy_of_classes(float64):
    """Of the labels, by hand; zero where there is none; the most probable class for all."""
    model = random_model()
    features, eps, labels = batch()
    terms = jax.tree.map(np.asarray, apply(model, features, eps, labels))
    probabilities = np.asarray(model.classify(features))
    assert probabilities.shape == (BATCH, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-12)
    assert (terms.chosen == probabilities.argmax(axis=1)).all()
    for row in range(BATCH - 1):
        assert float(terms.classes[row]) == pytest.approx(-np.log(probabilities[row, labels[row]]))
    assert terms.classes[-1] == 0


def test_no_step_trains_what_classifies():
    """The head and its inputs are fixed, and nothing is left over."""
    model = random_model()
    trained, fixed = trainable(model.params)
    assert set(fixed) == {"components", "timbre", "ear", "head_kind"}
    assert not set(trained) & set(fixed)
    assert {**trained, **fixed} == model.params


# --- every knob and shape ---------------------------------------------------------------------------------------------

KNOBS = {
    "one latent": {"latent_dim": 1},
    "no flow": {"flow_steps": 0},
    "no blocks": {"blocks": 0},
    "two blocks": {"blocks": 2},
    "no downsampling": {"downsamples": 0},
    "more downsampling than frames": {"downsamples": 6},
    "cross-entropy": {"likelihood": "cross_entropy"},
    "sizes of 1": {"components": 1, "width": 1, "hidden": 1, "flow_hidden": 1},
    "no components": {"components": 0},
    "no convolutions": {"width": 0},
    "fewer components than latents": {"components": 2, "width": 0},
    "two layers, dropout": {"depth": 2, "dropout": 0.5},
    "no labels": {"labels": ()},
}
CLIPS = {
    "two frames, one mel": clip(2, 1),
    "odd": clip(37, 13),
    "even frames, odd mels": clip(16, 7),
    "one more": clip(17, 8),
    "long": clip(1001, 3),
    "wide": clip(3, 32),
}


def check_a_model(config: ModelConfig, audio: AudioConfig) -> None:
    """It builds, encodes, decodes, classifies and has a finite loss, all of the shapes promised."""
    features, eps, labels = batch(config, audio, np.float32)

    twice, noises = np.concatenate([features, features]), np.concatenate([0 * eps, eps])

    @jax.jit
    def everything(model):
        z, drawn = jnp.split(model.encode(twice, noises), 2)
        terms = apply(model, features, eps, labels)
        return z, drawn, model.decode(z), model.classify(features), terms

    results = jax.tree.map(np.asarray, everything(random_model(config, audio, np.float32)))
    z, drawn, decoded, classes, terms = results
    assert z.shape == drawn.shape == (BATCH, config.latent_dim)
    assert (z != drawn).all()
    assert decoded.shape == features.shape
    assert ((decoded >= 0) & (decoded <= 1)).all()
    assert classes.shape == (BATCH, len(config.classes))
    assert terms.recon.shape == terms.kl.shape == terms.error.shape == (BATCH,)
    assert terms.classes.shape == terms.chosen.shape == labels.shape
    assert all(np.isfinite(leaf).all() and leaf.dtype in (np.float32, np.int32) for leaf in jax.tree.leaves(results))


@pytest.mark.parametrize("knobs", KNOBS)
def test_every_knob_builds_a_model_that_works(knobs):
    check_a_model(dataclasses.replace(TINY, **KNOBS[knobs]), CLIP)


@pytest.mark.parametrize("size", CLIPS)
def test_any_clip_fits(size):
    check_a_model(dataclasses.replace(TINY, flow_steps=1), CLIPS[size])


def leaves_by_name(tree) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf) for name, leaf in checkpoint.flatten(tree).items()}


BEHIND_A_BLOCK = ("LayerNorm_0/scale", "LayerNorm_0/bias", "Conv_0/kernel", "Conv_0/bias")


def test_training_signal_reaches_every_weight():
    """At once, but for what lies behind layers that start at zero (the last of flow, block and decoder); then all.

    Those layers open with the first step, since they have a gradient themselves.
    """
    arguments = batch(dtype=np.float32)

    @jax.jit
    @jax.grad
    def gradient(params):
        terms = apply(Model(params, TINY, CLIP), *arguments)
        return (negative_elbo(terms) + terms.classes).mean()

    fresh = create(TINY, CLIP, jax.random.key(0)).params
    without = {name for name, leaf in leaves_by_name(gradient(fresh)).items() if not leaf.any()}
    blocks = [f"{side}/ResidualBlock_{n}" for side in ("encoder/Analysis_0", "decoder/Synthesis_0") for n in range(2)]
    behind_blocks = {f"{block}/{leaf}" for block in blocks for leaf in BEHIND_A_BLOCK}
    behind_flow = {f"flow/flow_{k}/{leaf}" for k in range(TINY.flow_steps) for leaf in ("w_in", "w_context", "b_in")}
    assert behind_blocks | behind_flow <= without
    for _ in range(4):  # layers that start at zero stand behind each other: each step opens the next
        fresh = jax.tree.map(lambda leaf, slope: np.asarray(leaf) - 0.01 * np.sign(slope), fresh, gradient(fresh))
    assert all(leaf.any() for leaf in leaves_by_name(gradient(fresh)).values())


def test_headroom_lowers_a_sound_and_keeps_its_shape():
    model = jax.tree.map(jnp.asarray, random_model(dtype=np.float32))
    z = jnp.asarray(30 * np.random.default_rng(0).normal(size=(8, TINY.latent_dim)), jnp.float32)
    output = np.asarray(model.module.apply({"params": model.params}, z, method="output"))
    most = output.max(axis=(1, 2))
    assert (most > 1.1).any()  # else this shows nothing
    np.testing.assert_allclose(model.decode(z), np.clip(output, 0, 1), atol=1e-5)
    lowered = np.asarray(model.decode(z, headroom=True))
    np.testing.assert_allclose(lowered, np.clip(output - np.maximum(most - 1, 0)[:, None, None], 0, 1), atol=1e-5)
    np.testing.assert_allclose(lowered.max(axis=(1, 2)), np.clip(most, 0, 1), atol=1e-5)
    again = np.asarray(model.decode(z[most <= 1], headroom=True))
    np.testing.assert_allclose(again, model.decode(z[most <= 1]), atol=1e-5)


def test_a_model_is_a_pytree_of_its_weights():
    """Config and front end are static: a changed weight is a new leaf, a changed knob another tree."""
    model = random_model()
    assert len(jax.tree.leaves(model)) == len(jax.tree.leaves(model.params))
    halved = jax.tree.map(lambda leaf: leaf / 2, model)
    assert (halved.config, halved.audio) == (model.config, model.audio)
    assert jax.tree.structure(halved) == jax.tree.structure(model)
    other = dataclasses.replace(model, config=dataclasses.replace(TINY, flow_offset=1.0))
    assert jax.tree.structure(other) != jax.tree.structure(model)


def test_weights_are_a_function_of_the_key():
    same, again, other = (leaves_by_name(create(TINY, CLIP, jax.random.key(seed)).params) for seed in (0, 0, 1))
    assert all((same[name] == again[name]).all() for name in same)
    assert {leaf.dtype for leaf in same.values()} == {np.dtype(np.float32)}
    differ = {name for name in same if (same[name] != other[name]).any()}
    assert differ >= {
        "encoder/Analysis_0/Conv_0/kernel",
        "flow/flow_0/w_in",
        "decoder/Layers_0/Dense_0/kernel",
        "head_kind/kernel",
    }


def test_the_embedding_is_the_draw_without_noise(float64):
    """encode(x) is zK at eps = 0: the same each time, and for each sound whatever its neighbours."""
    model = random_model()
    features, eps, _ = batch()
    z = np.asarray(model.encode(features))
    assert (z == np.asarray(model.encode(features))).all()
    np.testing.assert_allclose(z, model.encode(features, 0 * eps), rtol=1e-12)
    np.testing.assert_allclose(z[1:], model.encode(features[1:]), rtol=1e-10)
    drawn, _ = apply(model, apply(model, features, method="posterior"), eps, method="sample")
    np.testing.assert_allclose(model.encode(features, eps), drawn, rtol=1e-10)


# --- what does not fit ------------------------------------------------------------------------------------------------

MISFITS = {
    "one sound without a batch": ("encode", [np.zeros((11, 5), np.float32)], r"features: .* \(11, 5\)"),
    "one frame less, which the encoder alone would take": (
        "encode",
        [np.zeros((1, 10, 5), np.float32)],
        r"expected shape \(batch, frames 11, mels 5\), found \(1, 10, 5\)",
    ),
    "other mels": ("classify", [np.zeros((1, 11, 6), np.float32)], "mels 5"),
    "stored levels": ("encode", [np.zeros((1, 11, 5), np.uint8)], "found uint8; divide stored levels by 255"),
    "noise for another batch": (
        "encode",
        [np.zeros((2, 11, 5), np.float32), np.zeros((1, 3), np.float32)],
        r"eps: expected shape \(batch 2, latent 3\), found \(1, 3\)",
    ),
    "another latent": ("decode", [np.zeros((1, 4), np.float32)], r"z: expected shape \(batch, latent 3\)"),
    "whole numbers for a latent": ("decode", [np.zeros((1, 3), np.int32)], "z: expected floating numbers"),
    "density of another latent": (
        "log_q",
        [np.zeros((1, 11, 5), np.float32), np.zeros((1, 4), np.float32)],
        "z: expected shape",
    ),
}


@pytest.mark.parametrize("misfit", MISFITS)
def test_arrays_that_do_not_fit_are_refused(misfit):
    method, arguments, text = MISFITS[misfit]
    with pytest.raises(ShapeError, match=text):
        getattr(random_model(dtype=np.float32), method)(*arguments)


def test_labels_that_do_not_fit_are_refused():
    """One column too few would otherwise be read twice, silently."""
    model, (features, eps, labels) = random_model(dtype=np.float32), batch(dtype=np.float32)
    with pytest.raises(ShapeError, match=r"labels: expected shape \(batch 3\), found \(3, 1\)"):
        apply(model, features, eps, labels[:, None])
    with pytest.raises(ShapeError, match="labels: expected integer numbers"):
        apply(model, features, eps, labels.astype(np.float32))


def test_levels_are_those_of_the_store():
    """The likelihood counts in the steps that the features were rounded to."""
    assert LEVELS == 2**8 - 1
    assert models.LEAST_SCALE == 0.5
