"""Every question runs, small; the page of results is the one that the results make; what is counted is right."""

import ast
import dataclasses
import json
import os
import signal
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments.common import foreign_sounds, latents, posteriors, real_sounds, results, samplevae_2d, trained
from experiments.quality import classes, energies, honesty, posterior_gap, prior, retrieval, run
from experiments.release import page
from experiments.speed import search, step
from vaelab import model as models
from vaelab import training
from vaelab.config import AudioConfig, ModelConfig
from vaelab.models import familiarity


@pytest.mark.parametrize("question", run.questions())
def test_every_configuration_is_one(question):
    """All knobs exist, all values are possible, and every run has a name of its own."""
    asked = run.read(question)
    names = [one["name"] for one in asked["runs"]]
    assert len(set(names)) == len(names)
    for one in asked["runs"]:
        assert run.config_of(asked, one).train.stop_rate < 1e-6
        assert one.get("steps", asked.get("steps")) > 0
    assert asked.get("against", names[0]) in names
    assert asked.get("target", {"run": names[0]})["run"] in names


def test_a_question_is_answered():
    """The one with a model of its own; the others run in the slow proof."""
    check(run.answer("baseline", tiny=True, progress=False))


@pytest.mark.slow
@pytest.mark.parametrize("question", [name for name in run.questions() if name != "baseline"])
def test_the_other_questions_are_answered(question):
    check(run.answer(question, tiny=True, progress=False))


def check(outcome):
    """One record for each run, which a table can be made of."""
    asked = run.read(outcome["question"])
    assert [record["run"] for record in outcome["records"]] == [one["name"] for one in asked["runs"]]
    assert all(np.isfinite(record["best"]["loss"]) for record in outcome["records"])
    plain = json.loads(json.dumps(outcome, default=results.plain))
    text = page.question(plain)
    assert text.count("\n| ") >= len(asked["runs"])


def trainings():
    """Each call in the experiments that trains: its file and line, and the names of its arguments."""
    for path in sorted(results.FOLDER.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("training.train", "training.fit"):
                yield f"{path.name}:{node.lineno}", {word.arg: word.value for word in node.keywords}


def test_no_experiment_goes_on_with_a_half_trained_model():
    calls = dict(trainings())
    assert len(calls) >= 7
    assert [
        place for place, words in calls.items() if ast.unparse(words.get("raise_if_stopped", ast.Constant(0))) != "True"
    ] == []


def test_a_stopped_experiment_stores_nothing(monkeypatch):
    """SIGTERM in the middle of a training ends it with an error."""
    monkeypatch.setattr(run, "audible_db", lambda *_: pytest.fail("went on with a half-trained model"))
    fit = training.fit

    def signalled(*arguments, on_evaluation, **words):
        def stop(evaluation):
            on_evaluation(evaluation)
            os.kill(os.getpid(), signal.SIGTERM)

        return fit(*arguments, on_evaluation=stop, **words)

    monkeypatch.setattr(training, "fit", signalled)
    monkeypatch.setattr(trained, "TINY_EVALUATE_EVERY", 1)  # before the last step
    with pytest.raises(training.StoppedError, match=r"stopped at step \d+, before its end"):
        run.answer("baseline", tiny=True, progress=False)


def test_a_run_is_a_function_of_its_seed():
    one, other = (run.answer("likelihood", ["Laplace"], True, False)["records"][0] for _ in range(2))
    assert one["best"]["loss"] == other["best"]["loss"]
    assert one["latents"] == other["latents"]


def test_the_page_is_the_one_that_the_results_make(capsys):
    page.main(["--check"])


def test_a_stale_page_fails(monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text("old")
    monkeypatch.setattr(page, "PAGE", tmp_path / "README.md")
    with pytest.raises(SystemExit, match=rf"expected the page that the results make.*{page.COMMAND}"):
        page.main(["--check"])


def test_missing_sounds_are_told(monkeypatch, tmp_path):
    monkeypatch.setattr(real_sounds, "FOLDERS", [tmp_path / "none"])
    with pytest.raises(real_sounds.MissingSounds, match="install the Debian packages hydrogen-drumkits"):
        real_sounds.dataset(tmp_path)


def test_paired_differences():
    """Seed by seed, a lower loss counts as a gain."""

    def record(seed, loss):
        return {"seed": seed, "best": {"loss": loss}, "seconds": 10.0}

    runs = {"none": [record(0, 100.0), record(1, 200.0)], "flow": [record(0, 90.0), record(1, 196.0)]}
    assert "+7.0 nats better (standard error 3.0; each: +10.0, +4.0), at 1.00 times" in page.paired(runs, "none")[0]
    assert page.paired(runs, "none", timed=False)[0].endswith("each: +10.0, +4.0)")


def test_operations_are_those_of_the_shapes():
    """A product of (3, 5) and (5, 7), its two gradients, a convolution, and a loop of four."""
    a, b = jnp.ones((3, 5)), jnp.ones((5, 7))
    forwards = jax.make_jaxpr(lambda a, b: a @ b)(a, b)
    assert step.operations(forwards.jaxpr) == 2 * 3 * 5 * 7
    both = jax.make_jaxpr(jax.grad(lambda a, b: ((a @ b) ** 2).sum(), argnums=(0, 1)))(a, b)
    assert step.operations(both.jaxpr) == 3 * 2 * 3 * 5 * 7
    looped = jax.make_jaxpr(lambda a: jax.lax.scan(lambda c, _: (c @ jnp.ones((5, 5)), None), a, None, 4)[0])(a)
    assert step.operations(looped.jaxpr) == 4 * 2 * 3 * 5 * 5
    x, kernel = jnp.ones((2, 9, 4)), jnp.ones((3, 4, 6))
    dims = ("NWC", "WIO", "NWC")
    convolved = jax.make_jaxpr(lambda x, k: jax.lax.conv_general_dilated(x, k, (1,), "SAME", dimension_numbers=dims))
    assert step.operations(convolved(x, kernel).jaxpr) == 2 * (2 * 9 * 6) * 3 * 4


def test_latents_are_described(tiny):
    """A latent that no sound moves is not active; the shares of the KL add up to it; the prior itself has no gap."""
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    rng = np.random.default_rng(0)
    shape = (20, tiny.audio.frames, tiny.audio.n_mels)
    sounds = real_sounds.Sounds(
        rng.integers(0, 256, shape, np.uint8), np.full(20, -1, np.int32), np.zeros(20, np.float32)
    )
    values, shares = latents.draws(model, sounds, jax.random.key(1))
    assert values.shape == shares.shape == (latents.DRAWS, 20, tiny.model.latent_dim)
    told = latents.describe(model, sounds)
    assert sum(told["kl_per_latent"]) == pytest.approx(shares.sum(axis=-1).mean(), rel=0.05)
    assert told["gap_nats"] > 0
    assert 0 < told["active"] <= told["of"] == tiny.model.latent_dim
    trained, fixed = models.trainable(model.params)
    deaf = dataclasses.replace(model, params={**jax.tree.map(jnp.zeros_like, trained), **fixed})
    assert latents.describe(deaf, sounds)["active"] == 0


def test_the_two_dimensional_model_has_the_shapes_described():
    config, audio = ModelConfig(components=0, width=1, likelihood="cross_entropy"), AudioConfig.samplevae()
    params = jax.eval_shape(lambda key: samplevae_2d.create(config, audio, key), jax.random.key(0)).params
    kernels = [params["encoder"][f"Conv_{n}"]["kernel"].shape for n in range(4)]
    assert kernels == [(3, 3, 1, 32), (3, 3, 32, 64), (3, 3, 64, 32), (3, 3, 32, 32)]
    assert params["encoder"]["Dense_0"]["kernel"].shape == (8 * 8 * 32, 512)
    assert [params["decoder"][f"Conv_{n}"]["kernel"].shape[-1] for n in range(4)] == [32, 64, 32, 1]


@pytest.mark.parametrize("name", posteriors.POSTERIORS)
def test_other_posteriors_have_their_density(name, tiny):
    """log q is that of the noise less the log-det; one sees no z, and one is a Gaussian."""
    fresh = posteriors.create(name, tiny.model, tiny.audio, jax.random.key(0))
    trained, fixed = models.trainable(fresh.params)
    leaves, tree = jax.tree.flatten(trained)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [leaf + 0.2 * jax.random.normal(key, leaf.shape) for key, leaf in zip(keys, leaves, strict=True)]
    model = dataclasses.replace(fresh, params={**jax.tree.unflatten(tree, noisy), **fixed})
    features = jax.random.uniform(jax.random.key(2), (1, tiny.audio.frames, tiny.audio.n_mels))
    eps = jax.random.normal(jax.random.key(3), (3, tiny.model.latent_dim))
    _, log_q = posteriors._draws(model, features, eps)
    of_noise = jax.jacobian(lambda noise: posteriors._draws(model, features, noise[None])[0][0])
    jacobian = np.asarray(jax.jit(jax.vmap(of_noise))(eps))
    expected = np.asarray(jax.scipy.stats.norm.logpdf(eps).sum(axis=-1)) - np.linalg.slogdet(jacobian)[1]
    np.testing.assert_allclose(log_q, expected, rtol=1e-3)
    if name == "flow of the context":
        assert (np.abs(jacobian - jacobian * np.eye(eps.shape[1])).max(axis=(1, 2)) == 0).all()
    if name == "full covariance":
        np.testing.assert_allclose(jacobian, np.broadcast_to(jacobian[:1], jacobian.shape), atol=1e-5)


def test_the_gap_of_a_posterior_has_parts(tiny, monkeypatch):
    """Of a posterior with one correlation of 0.8, that is all that is missing, and log p is right."""
    truth = np.eye(tiny.model.latent_dim)
    truth[0, 1] = truth[1, 0] = 0.8
    density = jax.vmap(partial(jax.scipy.stats.multivariate_normal.logpdf, mean=np.zeros(len(truth)), cov=truth))
    monkeypatch.setattr(posterior_gap, "log_joint", lambda model, features, z: density(z) - 5.0)
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    features = np.zeros((2, tiny.audio.frames, tiny.audio.n_mels), np.float32)
    start = posterior_gap.Start(jnp.full((2, len(truth)), 0.5), jnp.full((2, len(truth)), 0.7))
    gaussian = posterior_gap.Gaussian(*map(jnp.zeros, ((2, len(truth)), (2, len(truth)), (2, len(truth), len(truth)))))
    elbo = {}
    for correlated in (False, True):
        gaussian = posterior_gap.improve(model, features, start, gaussian, jax.random.key(1), 400, correlated)
        elbo[correlated], evidence, effective = posterior_gap.judge(model, features, start, gaussian, jax.random.key(2))
    np.testing.assert_allclose(elbo[True] - elbo[False], -0.5 * np.log(1 - 0.8**2), atol=0.05)
    np.testing.assert_allclose(evidence, -5, atol=0.02)
    assert (effective > 0.8 * posterior_gap.JUDGED).all()


def test_a_flow_fits_an_energy_better_than_a_gaussian():
    """And the bound on the KL, with log Z from the grid, is a KL: not negative."""
    gaussian, flow = (energies.fit(energies.band, steps, updates=300)[1] for steps in (0, 4))
    log_z = energies.log_normaliser(energies.band)
    assert -0.01 < flow + log_z < 0.7 * (gaussian + log_z)


def test_frechet_distance():
    """Zero of a set with itself; of two Gaussians apart by a shift, the shift's square."""
    points = np.random.default_rng(0).standard_normal((400, 3))
    assert prior.frechet(points, points) == pytest.approx(0, abs=1e-6)
    assert prior.frechet(points, points + np.array([[2.0, 0, 0]])) == pytest.approx(4, abs=1e-6)
    assert prior.frechet(points, 3 * points) > 10


def test_coverage():
    """All of a set by itself, none by points far away, half by those of one of two clusters."""
    rng = np.random.default_rng(0)
    near, far = rng.standard_normal((2, 100, 3)) + np.array([0, 50])[:, None, None]
    both = np.concatenate([near, far])
    assert prior.coverage(both, both) == 1
    assert prior.coverage(both, both + 500) == 0
    assert prior.coverage(both, near) == 0.5


def test_made_sounds_are_compared(tiny):
    model = models.create(tiny.model, tiny.audio, jax.random.key(0))
    rng = np.random.default_rng(0)
    shape = (20, tiny.audio.frames, tiny.audio.n_mels)
    labels = np.full(20, -1, np.int32)
    sides = [real_sounds.Sounds(rng.integers(0, 256, shape, np.uint8), labels, np.zeros(20, np.float32))] * 2
    remembered = familiarity.measure(model, *sides)
    rows = [dict(zip(prior.COLUMNS, row, strict=True)) for row in prior.measure(model, remembered, sides, repeats=2)]
    assert len(rows) == 2 + len(prior.ways(remembered, 3))
    assert all(row["Frechet distance"] >= -1e-6 and 0 <= row["coverage"] <= 1 for row in rows)
    assert [row["new"] for row in rows[:2]] == [None, None]
    assert all(sum(row[verdict] for verdict in prior.VERDICTS) == pytest.approx(1) for row in rows[2:])


def test_search_is_measured_against_others(tmp_path):
    row = dict(zip(search.COLUMNS, search.measure(tmp_path, 500), strict=True))
    assert row["sounds"] == 500
    assert row["ratio"] == pytest.approx(row["scipy loop ms"] / row["query ms"])
    assert row["query ms"] > 0
    assert row["peak MB"] > 0


def test_precision_looks_into_other_packs_only():
    """Two classes far apart; of each, one pack asks and two others answer, of which one is mislabelled."""
    points = np.repeat(np.array([[0.0, 0], [9, 9]]), 30, axis=0) + np.random.default_rng(0).normal(0, 0.1, (60, 2))
    packs = np.tile(np.repeat(["asks", "right", "wrong"], 10), 2)
    labels = np.repeat(["a", "b"], 30)
    labels[packs == "wrong"] = "c"
    points[packs == "wrong"] += 100
    found = retrieval.precision(points.astype(np.float32), labels, packs, packs == "asks")
    assert found == {"a": 1.0, "b": 1.0}
    points[packs == "wrong"] -= 100
    points[packs == "right"] += 100
    assert retrieval.precision(points.astype(np.float32), labels, packs, packs == "asks") == {"a": 0.0, "b": 0.0}


def test_changed_sounds_are_the_same_length_and_other_sounds():
    rng = np.random.default_rng(0)
    sound = (0.5 * np.sin(np.arange(16000) / 9)).astype(np.float32)
    for change in retrieval.changes(16000).values():
        changed = change(sound, rng)
        assert len(changed) == len(sound)
        assert np.abs(changed - sound).max() > 1e-4


@pytest.fixture
def labelled_sounds():
    """Labelled statistics of four kits, of which three classes differ a little."""
    rng = np.random.default_rng(0)
    labels, kits = np.arange(120) % 3, np.arange(120) // 30
    parts = [rng.standard_normal((120, size)) + np.eye(3, size)[labels] for size in (9, 12, 5)]
    return classes.Labelled(*parts, labels), kits


def test_a_kit_has_no_say_in_its_settings(labelled_sounds):
    """Whatever its labels are, the settings that it is judged by are the same."""
    sounds, kits = labelled_sounds
    settings = [classes.Setting(), classes.Setting(detailed=False, width=2.0, power=0)]
    before, _ = classes.chosen_among(sounds, kits, settings)
    for kit in range(4):
        shuffled = np.where(kits == kit, (sounds.labels + 1) % 3, sounds.labels)
        after, _ = classes.chosen_among(sounds._replace(labels=shuffled), kits, settings)
        assert after[kit] == before[kit]


def test_both_solutions_choose_the_same_classes(labelled_sounds):
    sounds, kits = labelled_sounds
    training, asked = sounds.part(kits > 0), sounds.part(kits == 0)
    probabilities = classes.ours(classes.Setting(), training, asked)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    np.testing.assert_array_equal(
        probabilities.argmax(axis=1), classes.chosen_classes(classes.Setting(), training, asked)
    )


@pytest.mark.parametrize(
    ("classify", "name", "label"),
    [
        (foreign_sounds.sonic_pi_class, "drum_cymbal_open.flac", "open_hat"),
        (foreign_sounds.sonic_pi_class, "drum_cymbal_soft.flac", "cymbal"),
        (foreign_sounds.sonic_pi_class, "bd_haus.flac", "kick"),
        (foreign_sounds.fluid_class, "MdHi Studio_0778.wav", "tom"),
        (foreign_sounds.fluid_class, "Piccolo 1-1_0740.wav", "snare"),
        (foreign_sounds.fluid_class, "Bongo Rim_1056.wav", None),
        (foreign_sounds.fluid_class, "Crsh 2_0774.wav", "crash"),
    ],
)
def test_foreign_drums_are_what_their_names_say(classify, name, label):
    assert classify(Path(name)) == label


def test_the_area_below_the_curve_counts_ties_half():
    assert honesty.auroc(np.array([1.0, 2.0]), np.array([2.0, 3.0])) == pytest.approx(3.5 / 4)


def test_a_shortened_sound_ends_after_its_onset():
    features = np.zeros((2, 20, 3), np.uint8)
    features[0, 3:], features[1, 10:] = 200, 90
    short = honesty.shortened(features, 4)
    np.testing.assert_array_equal((short > 0).any(axis=2).sum(axis=1), 4)
    np.testing.assert_array_equal((short > 0).any(axis=2).argmax(axis=1), [3, 10])


@pytest.mark.parametrize("kind", [honesty.tones, honesty.voices, honesty.noises])
def test_foreign_sounds_are_audible_and_differ(kind):
    first, second = kind(np.random.default_rng(0), 2)
    assert np.abs(first).max() == pytest.approx(0.5, abs=0.02)
    assert np.abs(np.corrcoef(first, second)[0, 1]) < 0.5
