"""Evaluation on held-out sounds: the ELBO's terms with fixed noise, reconstruction error, confusion matrices."""

from typing import NamedTuple

import jax
import numpy as np

from vaelab import model as models
from vaelab.config import TrainConfig
from vaelab.models import devices
from vaelab.spectral import dequantise


class Sounds(NamedTuple):
    """One side of a dataset, ready for the device.

    Attributes:
        features: uint8 (sounds, frames, mels), in memory or read when indexed (`vaelab.training.batches.StoredRows`).
        labels: int32 (sounds,), -1 where unknown.
        weights: float32 (sounds,), class weights; 0 where unknown.
    """

    features: np.ndarray
    labels: np.ndarray
    weights: np.ndarray


def balanced(labels: np.ndarray) -> np.ndarray:
    """Weights with the same sum for every class and a mean of one over labelled sounds; 0 where unknown."""
    weights = np.zeros(labels.shape, np.float32)
    labelled = labels >= 0
    if labelled.any():
        classes, inverse, counts = np.unique(labels[labelled], return_inverse=True, return_counts=True)
        weights[labelled] = labelled.sum() / (len(classes) * counts[inverse])
    return weights


def evaluate(
    model: models.Model, sounds: Sounds, config: TrainConfig, key: jax.Array
) -> tuple[dict[str, float], np.ndarray]:
    """Means over all sounds, with noise that depends on the key and a sound's position only.

    Args:
        model: To evaluate.
        sounds: All of them are used.
        config: Knobs.
        key: Of the noise.

    Returns:
        metrics: "loss" (recon + beta * kl), "recon" and "kl" in nats, "bits_per_dim", "error_db", "audible_db" (the
            error where sounds are audible), and with a classifier accuracy, balanced accuracy, macro-F1 and the recall
            of each class, NaN without sounds.
        confusion: Counts int (true class, chosen class); (0, 0) without a classifier.
    """
    frames, mels = sounds.features.shape[1:]
    terms = sound_terms(model, sounds, config.batch_size, key)
    loss = terms.recon + config.beta * terms.kl
    bits = (terms.recon + terms.kl) / (np.log(2) * frames * mels)
    metrics = {
        "loss": loss,
        "recon": terms.recon,
        "kl": terms.kl,
        "bits_per_dim": bits,
        "error_db": terms.error * model.audio.top_db,
        "audible_db": terms.audible * model.audio.top_db,
    }
    metrics = {name: float(values.mean()) for name, values in metrics.items()}
    confusion = confusion_matrix(sounds.labels, terms.chosen, len(model.config.classes))
    for name, names in model.config.labels:
        metrics |= {f"{name}_{measure}": value for measure, value in scores(confusion).items()}
        metrics |= {f"{name}_recall/{label}": value for label, value in zip(names, recalls(confusion), strict=True)}
    return metrics, confusion


def confusion_matrix(truth: np.ndarray, chosen: np.ndarray, classes: int) -> np.ndarray:
    """Counts int (classes, classes) of (true, chosen); unknown truths, -1, do not count."""
    matrix = np.zeros((classes, classes), int)
    np.add.at(matrix, (truth[truth >= 0], chosen[truth >= 0]), 1)
    return matrix


def scores(confusion: np.ndarray) -> dict[str, float]:
    """Accuracy, balanced accuracy (mean recall) and macro-F1 over the classes present; NaN without labels."""
    counts = confusion.sum(axis=1)
    present = counts > 0
    if not present.any():
        return dict.fromkeys(("accuracy", "balanced_accuracy", "macro_f1"), float("nan"))
    hits = confusion.diagonal()[present]
    f1 = 2 * hits / (counts + confusion.sum(axis=0))[present]
    return {
        "accuracy": float(hits.sum() / counts.sum()),
        "balanced_accuracy": float((hits / counts[present]).mean()),
        "macro_f1": float(f1.mean()),
    }


def recalls(confusion: np.ndarray) -> list[float]:
    """The share of each true class that was recognised; NaN for a class without sounds."""
    hits, counts = confusion.diagonal(), confusion.sum(axis=1)
    return [float(hit / count) if count else float("nan") for hit, count in zip(hits, counts, strict=True)]


@jax.jit
def _terms(
    model: models.Model, features: jax.Array, labels: jax.Array, positions: jax.Array, key: jax.Array
) -> models.Terms:
    def draw(position):
        return jax.random.normal(jax.random.fold_in(key, position), (model.config.latent_dim,))

    return model.module.apply({"params": model.params}, dequantise(features), jax.vmap(draw)(positions), labels)


def sound_terms(
    model: models.Model, sounds: Sounds, batch_size: int, key: jax.Array, same_noise: bool = False
) -> models.Terms:
    """Terms of every sound, on the host; the last batch is filled up with the first sound, then cut.

    A model that lies on several devices has its batches split over them.

    Args:
        model: Judges.
        sounds: All of them are used.
        batch_size: Sounds at a time; it decides nothing but speed.
        key: Of the noise.
        same_noise: The same for every sound, instead of one by its position.
    """
    count = len(sounds.features)
    mesh = devices.mesh_of(model.params)
    parts = []
    for start in range(0, count, batch_size):
        positions = np.arange(start, start + batch_size)
        rows = np.where(positions < count, positions, 0)
        noise = np.zeros_like(positions) if same_noise else positions
        batch = (sounds.features[rows], sounds.labels[rows], noise)
        if mesh is not None:
            batch = devices.place(batch, devices.split(mesh))
        parts.append(_terms(model, *batch, key if mesh is None else devices.place_key(key, mesh)))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:count], *devices.fetch(parts))
