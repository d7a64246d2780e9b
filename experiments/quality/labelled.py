"""Do labels that shape the latent space bring sounds of a class together: `python -m experiments.quality.labelled`.

To the loss of each labelled sound, the cross-entropy of a linear classifier of its embedding is added, by a weight, and
to those without a label nothing (Kingma et al. 2014, https://arxiv.org/abs/1406.5298, M1 trained with its classifier).
Beside that stands what needs no such training: the probe of timbre, fitted to the classes too
(`TrainConfig.label_weight`). Each labelled drum of the held-out kits asks for ten among those of all other kits, as in
`experiments.quality.retrieval`.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments.common import commands, measures, real_sounds, trained
from experiments.common.real_sounds import CLASSES
from experiments.quality.retrieval import precision
from experiments.quality.run import audible_db
from vaelab import model as models
from vaelab import training
from vaelab.config import Config
from vaelab.models.evaluate import Sounds
from vaelab.spectral import dequantise, map_stored
from vaelab.training import augment, probe, train_step

COMMAND = "python -m experiments.quality.labelled"
WEIGHTS = (0.0, 30.0, 300.0, 3000.0)  # of the cross-entropy; a sound's loss is 20,000 nats
PROBE_WEIGHTS = (0.0, 0.3, 1.0, 3.0, 10.0)  # `TrainConfig.label_weight`
STEPS = 1400
COOL = 0.3  # of the steps, in which the rate falls to zero


def learn(sounds: Sounds, config: Config, weight: float, steps: int) -> models.Model:
    """A model of sounds, and of their labels as far as the weight goes."""
    key = jax.random.key(0)
    with TemporaryDirectory() as scratch:
        model = training.start(sounds, config, Path(scratch), key)
    weights, fixed = models.trainable(model.params)
    head = jnp.zeros((config.model.latent_dim + 1, len(CLASSES)))
    rate = optax.join_schedules(
        [
            optax.linear_schedule(0, config.train.learning_rate, config.train.warmup_steps),
            optax.constant_schedule(config.train.learning_rate),
            optax.linear_schedule(config.train.learning_rate, 0, max(1, round(COOL * steps))),
        ],
        [config.train.warmup_steps, round((1 - COOL) * steps)],
    )
    optimiser = optax.chain(train_step.optimiser(config.train), optax.scale_by_learning_rate(rate))
    state = (weights, head), optimiser.init((weights, head))
    rng = np.random.default_rng(0)
    step = partial(_step, fixed=fixed, module=model.module, config=config, optimiser=optimiser, weight=weight)
    step = jax.jit(step)
    for number in range(steps):
        rows = rng.integers(len(sounds.features), size=config.train.batch_size)
        state = step(state, sounds.features[rows], sounds.labels[rows], jax.random.fold_in(key, number))
    return models.Model({**state[0][0], **fixed}, config.model, config.audio)


def _step(
    state: tuple,
    levels: jax.Array,
    labels: jax.Array,
    key: jax.Array,
    fixed: dict,
    module: models.IAFVAE,
    config: Config,
    optimiser: optax.GradientTransformation,
    weight: float,
) -> tuple:
    """One step on stored features, uint8 (batch, frames, mels), and their labels (batch,), -1 where unknown."""
    eps_key, variant_key, dropout_key = jax.random.split(key, 3)
    features = augment.augment(variant_key, dequantise(levels), config)
    eps = jax.random.normal(eps_key, (len(labels), config.model.latent_dim))

    def loss(both: tuple) -> jax.Array:
        weights, head = both
        params = {"params": {**weights, **fixed}}
        unknown = jnp.full(labels.shape, -1, jnp.int32)
        rngs = {"dropout": dropout_key}
        terms = module.apply(params, features, eps, unknown, deterministic=False, rngs=rngs, method="terms")
        z = module.apply(params, features, jnp.zeros_like(eps), method="embed")
        log_p = jax.nn.log_softmax(z @ head[:-1] + head[-1:])
        nats = -jnp.take_along_axis(log_p, jnp.maximum(labels, 0)[:, None], axis=1)[:, 0]
        shaping = weight * jnp.where(labels >= 0, nats, 0)
        return (models.negative_elbo(terms, config.train.beta, config.train.free_bits) + shaping).mean()

    updates, adam = optimiser.update(jax.grad(loss)(state[0]), state[1], state[0])
    return optax.apply_updates(state[0], updates), adam


def spaces(model: models.Model, sounds: Sounds) -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """Ways from latents to points: as they are, and by probes of timbre and classes."""
    kernels = [probe.fit(model, sounds.features, sounds.labels, weight).astype(np.float32) for weight in PROBE_WEIGHTS]
    by_probe = {
        f"probe, label_weight {weight:g}": kernel for weight, kernel in zip(PROBE_WEIGHTS, kernels, strict=True)
    }
    return {"all latents alike": lambda z: z} | {
        name: lambda z, kernel=kernel: z @ kernel for name, kernel in by_probe.items()
    }


def encode(model: models.Model, levels: np.ndarray) -> np.ndarray:
    """The embeddings of stored features."""
    return map_stored(lambda part: model.encode(dequantise(part)), levels)


def measure(tiny: bool) -> list[list[Any]]:
    """The rows of the table: of each weight, the error, and the precision in each space."""
    config = trained.shrink(Config()) if tiny else Config()
    with TemporaryDirectory() as scratch:
        home = Path(scratch)
        dataset = real_sounds.built_in(home) if tiny else real_sounds.dataset(home)
        sides = real_sounds.sides(dataset, home, config.audio)
        entries = [list(dataset.side(side)) for side in ("train", "validation")]
        sides = [
            sounds._replace(labels=np.array([_number(entry.label) for entry in side], np.int32))
            for sounds, side in zip(sides, entries, strict=True)
        ]
        packs = np.array([real_sounds.pack(dataset, entry) for side in entries for entry in side])
    labels = np.concatenate([side.labels for side in sides])
    drums = labels >= 0
    asked = np.repeat([False, True], [len(side.labels) for side in sides])[drums]
    names = np.array([*CLASSES, ""])[labels[drums]]
    packs = np.arange(len(packs)) if tiny else packs  # too few sounds for packs of their own
    rows = []
    for weight in WEIGHTS[: 2 if tiny else None]:
        model = learn(sides[0], config, weight, trained.TINY_STEPS if tiny else STEPS)
        z = np.concatenate([encode(model, side.features) for side in sides])[drums]
        shares = [
            float(np.mean(list(precision(space(z), names, packs[drums], asked).values())))
            for space in spaces(model, sides[0]).values()
        ]
        rows.append([f"{weight:g}", audible_db(model, sides[1]), *shares])
        print(rows[-1], flush=True)
    return rows


def _number(label: str | None) -> int:
    return CLASSES.index(label) if label in CLASSES else -1


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print and keep."""
    options = commands.parser(COMMAND, __doc__).parse_args(arguments)
    rows = measure(options.tiny)
    columns = ["weight in training", "audible error, dB", "all latents alike"]
    columns += [f"probe, label_weight {weight:g}" for weight in PROBE_WEIGHTS]
    note = (
        f"{STEPS} steps of one seed, 256 latents; precision of ten neighbours, mean of the classes. Held out are "
        f"{', '.join(real_sounds.HELD_OUT)}"
    )
    measures.report(None if options.tiny else "labelled", COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
