"""The model that a run starts from: principal components of its sounds, and their classifier."""

import dataclasses
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import jax

from vaelab import model as models
from vaelab.audio import timbre
from vaelab.config import Config
from vaelab.models import checkpoint, devices
from vaelab.models.evaluate import Sounds
from vaelab.pca import fit as fit_principal
from vaelab.training import classifier
from vaelab.training.augment import varying
from vaelab.training.learnt import LearntSounds


def start(
    training: Sounds,
    config: Config,
    logdir: Path,
    key: jax.Array,
    create: Callable[..., models.Model] = models.create,
    sounds: LearntSounds | None = None,
) -> models.Model:
    """The model that a run starts from, kept as `start.safetensors` so that a resumed run has the very same.

    For other `sounds` than those that it was made from, a run that has begun keeps it, with a new classifier.
    """
    path = logdir / "start.safetensors"
    meta = {} if sounds is None else {"sounds": sounds.digest}
    if path.exists():
        try:
            model = load_weights(path, jax.eval_shape(partial(create, config.model, config.audio), key))
            if sounds is None or checkpoint.load(path)[1].get("sounds") == sounds.digest:
                return model
            if any(logdir.glob("state-*.safetensors")):
                return _saved(path, _classifying(model, training), meta)
        except checkpoint.CheckpointError as error:
            print(f"made again from the sounds: {error}")
    sizes, principal = config.model, None
    if sizes.components:
        logits = sizes.likelihood == "cross_entropy"
        vary, train = varying(jax.random.fold_in(key, 1)), config.train
        counts = (sizes.components, sizes.latent_dim)
        principal = fit_principal(training.features, *counts, logits, vary, train.variants, train.component_rows)
    return _saved(path, _classifying(create(sizes, config.audio, key, principal), training), meta)


def _classifying(model: models.Model, training: Sounds) -> models.Model:
    """The model with a classifier of these sounds, if it has any."""
    if "timbre" not in model.params:
        return model
    detailed = model.config.timbre == "detailed"
    scale = timbre.fit(training.features, model.config.cepstra, detailed)._asdict()
    params = {**model.params, "timbre": {**model.params["timbre"], **scale}}
    return classifier.fitted(dataclasses.replace(model, params=params), training)


def _saved(path: Path, model: models.Model, meta: dict[str, Any]) -> models.Model:
    if devices.is_first():
        checkpoint.save_model(path, model, meta)
    return model


def load_weights(path: Path, skeleton: models.Model) -> models.Model:
    """The skeleton with the weights of a model file."""
    weights, _ = checkpoint.split(checkpoint.load(path)[0])
    return dataclasses.replace(skeleton, params=checkpoint.fill(skeleton.params, weights, path))
