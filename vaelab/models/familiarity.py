"""Familiarity of sounds to a model: errors and embeddings of its training and held-out sounds as a reference.

When training ends, the model's file also holds where its training sounds lie, and how well it did on sounds held out:
the percentiles of their errors, of their -ELBO, of their distance to the nearest training timbre, and of that to the
nearest training latent, in the space of the probe of timbre. A sound is judged by where it falls among the held-out
ones:

    its error and timbre  both up to the 90th percentile "well inside", up to the 99th "at the edge", else "unknown"
    a latent's distance   to the nearest training sound: below the 5th percentile "a copy", up to the median
                          "a relative", farther "new": as far away as one real sound is from all others

The error is that of its loudest cells. Most of a short or pure sound is silence, which any model gets right: so neither
the mean error over the clip nor the -ELBO has a say. The timbre (detailed statistics of `vaelab.audio.timbre`, in units
of their deviations over the training sounds) tells what a model reproduces without having met it: most of all a tone.

Latents are compared through the probe (`vaelab.training.probe`). Of hundreds of latents most say when things happen:
there, a real sound is far from all others, and a sound that varies a training sound, however much, is close to it.

Files from before timbres were remembered keep the judgement of their time: the largest percentile of the mean error,
the error of the loudest cells, and the -ELBO, that of one draw with fixed noise. Those from before the distance in the
probe's space was measured compare the latents themselves.
"""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from vaelab import model as models
from vaelab.audio import timbre
from vaelab.library.search import nearest, squared
from vaelab.models import checkpoint
from vaelab.models.evaluate import Sounds, sound_terms
from vaelab.spectral import dequantise, evenly_spaced, map_stored

PERCENTILES = np.arange(101)
INSIDE, EDGE = 90, 99
COPY, RELATIVE = 5, 50
LOUDEST = 0.02  # of the cells of a clip
TIMBRE = ("timbres", "timbre_scale", "timbre_distance")
BATCH = 32  # last digits of a stored reference depend on it
BINS = 10  # of confidence, in the table of calibration
MOST_SOUNDS = 50_000  # training sounds that are remembered; of more, a random choice
MOST_TIMBRES = 512  # training sounds whose timbres are remembered, evenly spaced; 0.4 MB
CEPSTRA = 20  # of these timbres
KEY = 0  # of the noise of an -ELBO


class Reference(NamedTuple):
    """Statistics of training and held-out sounds, kept in a model's file.

    Attributes:
        embeddings: Of training sounds, float16 (sounds, latent).
        error_db: Mean error of held-out sounds, its percentiles (101,).
        loudest_db: Mean error of their loudest cells, its percentiles (101,).
        nats: -ELBO of held-out sounds, its percentiles (101,).
        spacing: Distance from a held-out sound to the nearest training sound, its percentiles (101,).
        calibration: Over ten equal bins of the chosen class's probability: how many held-out sounds, their mean
            probability, and the share that was right; (1, 10, 3), 0 where a bin is empty; (0, 10, 3) without classes.
        labels: Classes of the training sounds, int16 (sounds,), -1 where unknown.
        probe: Of timbre, float16 (latent, dimensions) (`vaelab.training.probe`); empty in files of before.
        timbres: Of training sounds, standardised, float16 (timbres, statistics); None in files of before, as are the
            others below.
        timbre_scale: Mean and deviation of each statistic over the training sounds, float32 (2, statistics).
        timbre_distance: From a held-out sound to the nearest of the timbres, its percentiles (101,).
        probe_spacing: As `spacing`, in the space of the probe; None in files of before.
    """

    embeddings: np.ndarray
    error_db: np.ndarray
    loudest_db: np.ndarray
    nats: np.ndarray
    spacing: np.ndarray
    calibration: np.ndarray
    labels: np.ndarray
    probe: np.ndarray
    timbres: np.ndarray | None = None
    timbre_scale: np.ndarray | None = None
    timbre_distance: np.ndarray | None = None
    probe_spacing: np.ndarray | None = None

    def points(self, z: np.ndarray) -> np.ndarray:
        """Latents (..., latent) in the space where kinds lie together: the probe's, or their own without a probe."""
        z = np.asarray(z, np.float32)
        return z @ self.probe.astype(np.float32) if self.probe.size else z


class Familiarity(NamedTuple):
    """Verdict on the familiarity of a sound to a model.

    Attributes:
        verdict: "well inside", "at the edge" or "unknown".
        percentile: The share of held-out sounds that it knows better, in percent: the larger one by error of the
            loudest cells and by timbre; of files without timbres, the largest by mean error, that error, and -ELBO.
        error_db: Mean error of its reconstruction.
        loudest_db: The same in the loudest cells.
        nats: Its -ELBO.
        timbre_distance: To the nearest training timbre, in deviations; None of files without timbres.
    """

    verdict: str
    percentile: float
    error_db: float
    loudest_db: float
    nats: float
    timbre_distance: float | None = None


class Newness(NamedTuple):
    """Novelty of a latent.

    Attributes:
        verdict: "a copy", "a relative" or "new".
        percentile: The share of held-out sounds that lie closer to their nearest training sound, in percent.
        distance: To the nearest training sound, in the space of the probe of timbre.
    """

    verdict: str
    percentile: float
    distance: float


def measure(model: models.Model, training: Sounds, held_out: Sounds, probe: np.ndarray | None = None) -> Reference:
    """A reference from both sides of a dataset, with the probe of timbre (latent, dimensions) if there is one."""

    def encode(levels: np.ndarray) -> jax.Array:
        return model.encode(dequantise(levels))

    count = len(training.features)
    chosen = np.arange(count)
    if count > MOST_SOUNDS:
        chosen = np.sort(np.random.default_rng(KEY).permutation(count)[:MOST_SOUNDS])
    embeddings = map_stored(encode, training.features, chosen, BATCH).astype(np.float16)
    probe = _unprobed(model) if probe is None else probe
    unseen = map_stored(encode, held_out.features, size=BATCH)
    measured = (*_scores(model, held_out), _spacing(embeddings.astype(np.float32), unseen))
    parts = (np.percentile(values, PERCENTILES).astype(np.float32) for values in measured)
    labels = training.labels[chosen].astype(np.int16)
    scale = _scale(training.features)
    timbres = _standardised(training.features, scale, evenly_spaced(count, MOST_TIMBRES)).astype(np.float16)
    apart = _apart(timbres, _standardised(held_out.features, scale))
    reference = Reference(
        embeddings,
        *parts,
        _calibration(model, held_out),
        labels,
        probe,
        timbres,
        np.stack(scale).astype(np.float32),
        np.percentile(apart, PERCENTILES).astype(np.float32),
    )
    probed = _spacing(reference.points(embeddings), reference.points(unseen))
    return reference._replace(probe_spacing=np.percentile(probed, PERCENTILES).astype(np.float32))


def load_reference(model: models.Model, arrays: dict[str, np.ndarray], path: Path) -> Reference | None:
    """The reference that stands in a model's file; None if its training was not ended.

    Raises:
        checkpoint.CheckpointError: What stands there does not fit.
    """
    if not arrays:
        return None
    bins = (len(model.config.labels), BINS, 3)
    shapes = dict.fromkeys(("error_db", "loudest_db", "nats", "spacing"), PERCENTILES.shape) | {"calibration": bins}
    sounds = arrays.get("embeddings", np.zeros((0, 0)))
    shapes["embeddings"] = (max(1, len(sounds)), model.config.latent_dim)
    shapes["labels"] = (max(1, len(sounds)),)
    before = {"labels": np.full(len(sounds), -1, np.int16), "probe": _unprobed(model)}  # which older files lack
    arrays = {**before, **arrays}
    shapes["probe"] = (model.config.latent_dim, *arrays["probe"].shape[1:2])
    if "probe_spacing" in arrays:
        shapes["probe_spacing"] = PERCENTILES.shape
    if any(name in arrays for name in TIMBRE):
        statistics = timbre.count(model.audio.frames, model.audio.n_mels, CEPSTRA, detailed=True)
        timbres = max(1, min(len(arrays.get("timbres", ())), MOST_TIMBRES))
        shapes |= dict(zip(TIMBRE, ((timbres, statistics), (2, statistics), PERCENTILES.shape), strict=True))
    actual = {name: array.shape for name, array in arrays.items()}
    if actual != shapes or not all(np.isfinite(array).all() for array in arrays.values()):
        raise checkpoint.CheckpointError(f"{path}: expected finite reference arrays {shapes}, found {actual}")
    return Reference(**arrays)


def keep(
    path: Path, training: Sounds, held_out: Sounds, fit_probe: Callable[[models.Model], np.ndarray] | None = None
) -> None:
    """Measure a model's reference and add it to the model's file, unless one that agrees stands there already.

    Sums in another order differ in their last digits, which must not change the hash of a finished model.
    """
    model, meta = checkpoint.load_model(path)
    probe = None if fit_probe is None else fit_probe(model)
    reference, before = measure(model, training, held_out, probe)._asdict(), meta.pop("reference")
    if set(before) == set(reference) and all(_agree(before[name], reference[name]) for name in reference):
        return
    own = ("versions", "format", "sha256", "kind", "model", "audio", "stored")
    checkpoint.save_model(path, model, {name: value for name, value in meta.items() if name not in own}, reference)


def _agree(before: np.ndarray, now: np.ndarray) -> bool:
    return before.shape == now.shape and np.allclose(before.astype(float), now.astype(float), rtol=1e-3, atol=1e-4)


def _unprobed(model: models.Model) -> np.ndarray:
    return np.zeros((model.config.latent_dim, 0), np.float16)


def familiarity_of(model: models.Model, reference: Reference, features: np.ndarray) -> list[Familiarity]:
    """Familiarity of sounds to a model, from features uint8 (sounds, frames, mels)."""
    unlabelled = np.full(len(features), -1, np.int32)
    sounds = Sounds(features, unlabelled, unlabelled.astype(np.float32))
    scores = _scores(model, sounds)
    if reference.timbres is None:
        judges = list(zip((reference.error_db, reference.loudest_db, reference.nats), scores, strict=True))
        distances = [None] * len(features)
    else:
        apart = _apart(reference.timbres, _standardised(features, timbre.Scale(*reference.timbre_scale)))
        judges, distances = [(reference.loudest_db, scores[1]), (reference.timbre_distance, apart)], apart.tolist()
    places = np.max([[_percentile(among, value) for value in values] for among, values in judges], axis=0)
    return [
        Familiarity(_verdict(place), float(place), *map(float, values), distance)
        for place, *values, distance in zip(places, *scores, distances, strict=True)
    ]


def _verdict(place: float) -> str:
    return "well inside" if place <= INSIDE else "at the edge" if place <= EDGE else "unknown"


def newness(reference: Reference, z: np.ndarray) -> list[Newness]:
    """Novelty of latents (n, latent)."""
    training, asked = reference.embeddings.astype(np.float32), np.atleast_2d(z)
    among = reference.spacing if reference.probe_spacing is None else reference.probe_spacing
    if reference.probe_spacing is not None:
        training, asked = reference.points(training), reference.points(asked)
    judged = []
    for distance in _spacing(training, asked):
        place = _percentile(among, distance)
        verdict = "a copy" if place < COPY else "a relative" if place <= RELATIVE else "new"
        judged.append(Newness(verdict, place, float(distance)))
    return judged


def _spacing(training: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Distance of each point asked (n, dimensions) to the nearest training point, float32 (n,)."""
    return nearest(training, asked, 1, squares=squared(training))[1][:, 0]


def _scale(features: np.ndarray) -> timbre.Scale:
    """The scale of training timbres; a statistic that is the same for all counts as it is."""
    centre, spread = timbre.fit(features, CEPSTRA, detailed=True)
    return timbre.Scale(centre, np.where(spread > timbre.LEAST_SPREAD, spread, 1).astype(np.float32))


def _standardised(features: np.ndarray, scale: timbre.Scale, chosen: np.ndarray | None = None) -> np.ndarray:
    """Timbres (sounds, statistics) of stored features, or of the chosen."""
    measured = timbre.stored_statistics(features, CEPSTRA, chosen, detailed=True)
    return (measured - scale.centre[None]) / scale.spread[None]


def _apart(timbres: np.ndarray, standardised: np.ndarray) -> np.ndarray:
    """Distance of each of these timbres to the nearest remembered one, float32 (sounds,)."""
    return _spacing(timbres.astype(np.float32), standardised)


def _percentile(among: np.ndarray, value: float) -> float:
    """The share of values below one, in percent, from the percentiles of these values."""
    return float(np.interp(value, among, PERCENTILES, left=0.0, right=100.0))


def _scores(model: models.Model, sounds: Sounds) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each sound: mean error and that of the loudest cells, dB, and -ELBO, nats."""
    # Every sound has the same noise, so that its score does not depend on its neighbours.
    terms = sound_terms(model, sounds, BATCH, jax.random.key(KEY), same_noise=True)
    loudest = map_stored(lambda levels: _loudest_error(model, dequantise(levels)), sounds.features, size=BATCH)
    return terms.error * model.audio.top_db, loudest * model.audio.top_db, terms.recon + terms.kl


def _loudest_error(model: models.Model, features: np.ndarray) -> np.ndarray:
    """Mean error in the loudest cells of each sound: (batch, frames, mels) -> (batch,)."""
    flat = features.reshape(len(features), -1)
    errors = np.abs(flat - np.asarray(model.decode(model.encode(features))).reshape(flat.shape))
    loudest = flat >= np.quantile(flat, 1 - LOUDEST, axis=1, method="higher", keepdims=True)
    return errors.mean(axis=1, where=loudest)


def _calibration(model: models.Model, held_out: Sounds) -> np.ndarray:
    if not model.config.classes:
        return np.zeros((0, BINS, 3), np.float32)
    return reliability(
        map_stored(lambda levels: model.classify(dequantise(levels)), held_out.features, size=BATCH), held_out.labels
    )[None]


def reliability(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Count, mean confidence and share right in ten equal bins of confidence: (n, classes), (n,) -> (10, 3).

    Truths of -1 do not count.
    """
    table = np.zeros((BINS, 3), np.float32)
    asked = truth >= 0
    confidence, right = probabilities.max(axis=1)[asked], (probabilities.argmax(axis=1) == truth)[asked]
    place = np.minimum((confidence * BINS).astype(int), BINS - 1)
    for number in np.unique(place):
        inside = place == number
        table[number] = inside.sum(), confidence[inside].mean(), right[inside].mean()
    return table
