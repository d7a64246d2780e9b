"""What a model remembers, and what it says of other sounds by it."""

import jax
import numpy as np
import pytest

from vaelab import model as models
from vaelab.models import checkpoint, familiarity
from vaelab.models.evaluate import Sounds
from vaelab.pca import fit as fit_principal

RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def sides(tiny):
    """Sounds of one family: a few shapes, mixed; half of them held out."""
    shapes = RNG.uniform(80, 200, size=(4, tiny.audio.frames, tiny.audio.n_mels))
    mixed = np.einsum("ns,sfm->nfm", RNG.dirichlet(np.ones(4), 400), shapes) + RNG.uniform(0, 4, (400, 1, 1))
    levels = np.clip(mixed, 0, 255).astype(np.uint8)
    labels = (levels[:, 0, 0].astype(int) > np.median(levels[:, 0, 0])).astype(np.int32)
    return [Sounds(levels[part], labels[part], np.ones(200, np.float32)) for part in (slice(200), slice(200, 400))]


@pytest.fixture(scope="module")
def model(tiny, sides):
    config = models.ModelConfig(**{**tiny.model.to_dict(), "labels": (("class", ("a", "b")),)})
    principal = fit_principal(sides[0].features, config.components, config.latent_dim, False)
    return models.create(config, tiny.audio, jax.random.key(0), principal)


@pytest.fixture(scope="module")
def remembered(model, sides):
    return familiarity.measure(model, *sides)


def test_held_out_sounds_are_their_own_measure(model, sides, remembered):
    judged = familiarity.familiarity_of(model, remembered, sides[1].features)
    places = np.array([one.percentile for one in judged])
    assert np.mean([one.verdict == "well inside" for one in judged]) == pytest.approx(0.83, abs=0.1)
    assert places.min() < 30
    assert places.max() > 95


def test_training_sounds_are_well_inside_and_noise_is_unknown(model, sides, remembered):
    inside = [one.verdict for one in familiarity.familiarity_of(model, remembered, sides[0].features)]
    assert np.mean([verdict == "well inside" for verdict in inside]) > 0.8
    noise = RNG.integers(0, 256, sides[0].features.shape).astype(np.uint8)[:20]
    foreign = familiarity.familiarity_of(model, remembered, noise)
    assert {one.verdict for one in foreign} == {"unknown"}
    assert all(one.percentile == 100 for one in foreign)


def test_another_course_is_farther_off_by_timbre(model, sides, remembered):
    """Sounds of the family whose second half stands still."""
    levels = sides[0].features.copy()[:20]
    levels[:, levels.shape[1] // 2 :] = levels[:, :1]
    judged = familiarity.familiarity_of(model, remembered, levels)
    assert all(one.timbre_distance > np.median(remembered.timbre_distance) for one in judged)


def test_padding_is_not_familiar(model, sides, remembered):
    """Where a clip is silent has no say: of errors that only the loudest cells show, the mean is small."""
    short = np.zeros_like(sides[0].features[:20])
    short[:, :2] = RNG.integers(0, 256, short[:, :2].shape)
    judged = familiarity.familiarity_of(model, remembered, short)
    assert {one.verdict for one in judged} == {"unknown"}


def test_files_without_timbres_are_judged_as_they_were(model, sides, remembered):
    old = remembered._replace(timbres=None, timbre_scale=None, timbre_distance=None)
    for one in familiarity.familiarity_of(model, old, sides[1].features[:20]):
        values = {"error_db": one.error_db, "loudest_db": one.loudest_db, "nats": one.nats}
        places = [np.interp(value, getattr(old, name), familiarity.PERCENTILES) for name, value in values.items()]
        assert one.percentile == pytest.approx(max(places))
        assert one.timbre_distance is None


def test_a_file_without_timbres_opens(model, remembered):
    kept = {name: array for name, array in remembered._asdict().items() if name not in familiarity.TIMBRE}
    found = familiarity.load_reference(model, kept, "m.safetensors")
    assert found.timbres is None
    jax.tree.map(np.testing.assert_array_equal, found._asdict(), {**kept, **dict.fromkeys(familiarity.TIMBRE)})


def test_a_tone_is_unknown_by_its_loudest_cells(model, sides, remembered):
    """Silence but for one line that no sound of the family has: its mean error is small."""
    tone = np.zeros_like(sides[0].features[:1])
    tone[:, :, 5] = 255
    (judged,) = familiarity.familiarity_of(model, remembered, tone)
    assert judged.verdict == "unknown"
    assert judged.loudest_db > remembered.loudest_db[-1]


def test_a_verdict_does_not_depend_on_neighbours(model, sides, remembered):
    together = familiarity.familiarity_of(model, remembered, sides[1].features[:40])
    (alone,) = familiarity.familiarity_of(model, remembered, sides[1].features[35:36])
    assert alone.nats == pytest.approx(together[35].nats, rel=1e-5)
    assert alone.verdict == together[35].verdict


def test_training_latents_are_copies(remembered):
    copies = familiarity.newness(remembered, remembered.embeddings.astype(np.float32))
    assert {one.verdict for one in copies} == {"a copy"}
    (far,) = familiarity.newness(remembered, np.full((1, remembered.embeddings.shape[1]), 9.0))
    assert (far.verdict, far.percentile) == ("new", 100)
    assert far.distance > 10


def test_held_out_latents_are_relatives_and_new(model, sides, remembered):
    z = np.asarray(model.encode(sides[1].features.astype(np.float32) / 255))
    verdicts = [one.verdict for one in familiarity.newness(remembered, z)]
    shares = {name: verdicts.count(name) / len(verdicts) for name in ("a copy", "a relative", "new")}
    assert shares == pytest.approx({"a copy": 0.05, "a relative": 0.45, "new": 0.5}, abs=0.03)


def test_newness_is_judged_in_the_space_of_the_probe(model, sides):
    """Of a probe that reads some latents, the others have no say; a file from before goes by all of them."""
    latent_dim = model.config.latent_dim
    measured = familiarity.measure(model, *sides, np.eye(latent_dim, 2, dtype=np.float16))
    training = measured.embeddings[:20].astype(np.float32)
    unread, read = training + 9 * (np.arange(latent_dim) >= 2)[None], training + 9 * (np.arange(latent_dim) < 2)[None]
    assert {one.verdict for one in familiarity.newness(measured, unread)} == {"a copy"}
    assert {one.verdict for one in familiarity.newness(measured, read)} == {"new"}
    z = np.asarray(model.encode(sides[1].features.astype(np.float32) / 255))
    verdicts = [one.verdict for one in familiarity.newness(measured, z)]
    assert verdicts.count("a copy") / len(verdicts) == pytest.approx(0.05, abs=0.03)
    before = familiarity.newness(measured._replace(probe_spacing=None), unread)
    assert {one.verdict for one in before} == {"new"}


def test_a_file_from_before_the_probes_distances_opens(model, remembered):
    kept = {name: array for name, array in remembered._asdict().items() if name != "probe_spacing"}
    assert familiarity.load_reference(model, kept, "m.safetensors").probe_spacing is None


def test_last_digits_do_not_change_a_finished_model(model, sides, tmp_path, monkeypatch):
    """Its hash stands in recipes and libraries."""
    path = tmp_path / "m.safetensors"
    checkpoint.save_model(path, model, {})
    familiarity.keep(path, *sides)
    before = path.read_bytes()
    measured = familiarity.measure(model, *sides)
    monkeypatch.setattr(familiarity, "measure", lambda *_: measured._replace(nats=measured.nats * np.float32(1 + 1e-5)))
    familiarity.keep(path, *sides)
    assert path.read_bytes() == before
    monkeypatch.setattr(familiarity, "measure", lambda *_: measured._replace(nats=measured.nats * np.float32(1.1)))
    familiarity.keep(path, *sides)
    assert path.read_bytes() != before


def test_it_rides_in_the_models_file(model, sides, remembered, tmp_path):
    path = tmp_path / "best.safetensors"
    checkpoint.save_model(path, model, {"seed": 3, "metrics": {"loss": 1.0}})
    assert familiarity.load_reference(model, checkpoint.load_model(path)[1]["reference"], path) is None
    familiarity.keep(path, *sides)
    loaded, meta = checkpoint.load_model(path)
    jax.tree.map(np.testing.assert_array_equal, loaded.params, model.params)
    assert (meta["seed"], meta["metrics"]) == (3, {"loss": 1.0})
    found = familiarity.load_reference(loaded, meta["reference"], path)
    jax.tree.map(np.testing.assert_array_equal, found, remembered)
    before = path.read_bytes()
    familiarity.keep(path, *sides)  # a run that goes on and finds nothing better
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("error_db", np.zeros(7, np.float32)),
        ("nats", np.full(101, np.nan, np.float32)),
        ("embeddings", np.zeros((3, 3), np.float16)),
        ("embeddings", np.zeros((0, 8), np.float16)),
        ("calibration", np.zeros((2, 10, 3), np.float32)),
        ("other", np.zeros(3, np.float32)),
        ("timbres", np.zeros((3, 7), np.float16)),
        ("timbre_distance", np.zeros(7, np.float32)),
        ("probe_spacing", np.zeros(7, np.float32)),
    ],
)
def test_what_does_not_fit_is_refused(model, remembered, name, array):
    kept = {**remembered._asdict(), name: array}
    with pytest.raises(checkpoint.CheckpointError, match=r"m\.safetensors: expected finite reference arrays"):
        familiarity.load_reference(model, kept, "m.safetensors")


def test_of_many_sounds_some_are_remembered(model, sides, monkeypatch):
    monkeypatch.setattr(familiarity, "MOST_SOUNDS", 50)
    monkeypatch.setattr(familiarity, "MOST_TIMBRES", 40)
    measured = familiarity.measure(model, *sides)
    assert (len(measured.embeddings), len(measured.timbres)) == (50, 40)


def test_reliability_counts_what_was_right():
    probabilities = np.array([[0.95, 0.05], [0.92, 0.08], [0.35, 0.65], [0.6, 0.4], [0.1, 0.9]])
    table = familiarity.reliability(probabilities, np.array([0, 1, 1, 0, -1]))
    np.testing.assert_allclose(table[9], [2, 0.935, 0.5], rtol=1e-6)
    np.testing.assert_allclose(table[6], [2, 0.625, 1.0], rtol=1e-6)
    assert table[:, 0].sum() == 4


def test_calibration_is_of_held_out_sounds(model, sides, remembered):
    assert remembered.calibration.shape == (1, 10, 3)
    assert remembered.calibration[0, :, 0].sum() == len(sides[1].features)
