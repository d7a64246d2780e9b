"""Ways to sound for features without a phase, and widths of the prior: `python -m experiments.quality.texture`.

Sounds are judged as in `experiments.quality.heard`, on the drum kits that ended the training of the models, where the
way is chosen, and on foreign sounds. Each way plays three sets of features: those of the real sounds, their
reconstructions by a model, and random sounds of the prior "sounds".

    distance    of `experiments.quality.heard`, floors; random sounds are the mean of several draws
    tonality    mean error, over sounds and groups of bands, of a share: how well a bin follows from the two frames
                before, 0 as for noise, 1 as for a steady tone; of reconstructions against the real sounds
    at the hop's rate, echo     of reconstructions, as in `experiments.quality.heard`

The second table (alone with --widths) has random sounds by the width of the prior and the number of neighbours, played
as the tool does. Copies are told as in `experiments.quality.heard`: a width of 0 plays training sounds, and must
score 1.
"""

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from scipy import ndimage

from experiments.common import commands, hearing, measures, real_sounds, trained
from experiments.quality import heard
from vaelab import SoundSampleTool, spectral, texture
from vaelab.config import AudioConfig
from vaelab.play import prior, rendering

COMMAND = "python -m experiments.quality.texture"
DRAWS = 3
GROUP = 8  # bands whose tonality is measured together
WIDTHS = ((0.75, 10), (0.5, 30), (0.75, 30), (1.0, 30), (1.25, 30), (0.0, 30))
RESIDUAL_DB, RESIDUAL_FRAMES, RESIDUAL_BANDS = 3.0, 8.0, 1.0  # deviation and smoothness of the residuals drawn
WAY_COLUMNS = (
    "sounds",
    "way",
    "real features",
    "reconstructed",
    "random",
    "tonality",
    "at the hop's rate",
    "echo before the onset dB",
)
WIDTH_COLUMNS = ("width", "neighbours", "kits", "copies", "foreign", "copies, foreign")

Way = Callable[[np.ndarray, jax.Array], jax.Array]


def ways(config: AudioConfig) -> dict[str, Way]:
    """The ways: functions of features (1, frames, mels) and a key that give samples."""

    def by_share(share_of: Callable[[jax.Array], jax.Array]) -> Way:
        def play(features: np.ndarray, key: jax.Array) -> jax.Array:
            tones = spectral.invert(features, config, iterations=texture.ROUNDS)
            onset = texture.onsets(features, config)
            return texture.tones_and_noise(features, tones, share_of(features), onset, key, config)

        return play

    shares = texture.usual_share(config)
    shipped = by_share(lambda features: texture.tonal_share(features, config))
    return {
        "estimated phase": lambda features, _: spectral.invert(features, config),
        "tones": by_share(jnp.ones_like),
        "noise": by_share(jnp.zeros_like),
        "half of both": by_share(lambda features: jnp.full_like(features, 0.5)),
        "by frequency": by_share(lambda features: jnp.ones_like(features) * shares[None, None, :]),
        "by frequency, and bands that stand out": shipped,
        "the same, with residuals drawn": lambda features, key: shipped(drawn(features, key, config), key),
    }


def drawn(features: np.ndarray, key: jax.Array, config: AudioConfig) -> np.ndarray:
    """Features with a smooth Gaussian field added where they are above silence: a draw instead of the mean."""
    noise = ndimage.gaussian_filter(
        np.asarray(jax.random.normal(key, features.shape)), (0, RESIDUAL_FRAMES, RESIDUAL_BANDS)
    )
    noise *= RESIDUAL_DB / config.top_db / noise.std()
    return np.clip(np.where(features > 0, features + noise, 0), 0, 1).astype(np.float32)


def play(way: Way, features: np.ndarray, seed: int, config: AudioConfig) -> list[np.ndarray]:
    """Sounds for features (n, frames, mels), each with noise of its own."""
    keys = jax.random.split(jax.random.key(seed), len(features))
    return [
        rendering.finished(np.array(way(row[None], key))[0], None, config)
        for row, key in zip(features, keys, strict=True)
    ]


@partial(jax.jit, static_argnames="config")
def _surprise(samples: spectral.Samples, config: AudioConfig) -> tuple[jax.Array, jax.Array]:
    """Error of a bin's prediction from two frames before, 0 to 1, by energy, and that energy: (batch, mels) each.

    Source: the unpredictability measure of ISO 11172-3, psychoacoustic model 2.
    """
    spectrum = spectral.stft(samples, config)
    size = jnp.abs(spectrum)
    turn = spectrum / jnp.maximum(size, 1e-9)
    predicted = size[:, 1:-1] * turn[:, 1:-1] ** 2 * jnp.conj(turn[:, :-2])
    error = jnp.abs(spectrum[:, 2:] - predicted) / (size[:, 2:] + size[:, 1:-1] + 1e-9)
    energy = size[:, 2:] ** 2 + size[:, 1:-1] ** 2
    filters = spectral.filterbank(config).T
    return ((error * energy) @ filters).sum(axis=1), (energy @ filters).sum(axis=1)


def tonality(sounds: Sequence[np.ndarray], config: AudioConfig) -> np.ndarray:
    """Share 0 (noise) to 1 (a steady tone) of each group of bands: (n, groups)."""

    def surprise(samples: np.ndarray) -> np.ndarray:
        error, energy = (
            np.add.reduceat(np.asarray(part), np.arange(0, config.n_mels, GROUP), axis=1)
            for part in _surprise(samples, config)
        )
        return error / np.maximum(energy, 1e-12)

    noise = np.random.default_rng(0).normal(size=(4, config.samples)).astype(np.float32)
    measured = np.concatenate([surprise(np.asarray(samples)[None]) for samples in sounds])
    return np.clip(1 - measured / surprise(noise).mean(axis=0), 0, 1)


def random_features(
    tool: SoundSampleTool, count: int, seed: int, width: float = 1.0, neighbours: int = prior.NEIGHBOURS
) -> np.ndarray:
    """Decoded features of random sounds: (count, frames, mels)."""
    points = prior.around(tool.reference.embeddings, jax.random.key(seed), count, width, neighbours)
    return rendering.in_batches(partial(tool.model.decode, headroom=True), points)


def table_of_ways(tool: SoundSampleTool, judges: dict[str, heard.Judge], draws: int) -> list[list[Any]]:
    """A row for each collection and way."""
    config, rows = tool.model.audio, []
    random = [random_features(tool, heard.MOST, seed) for seed in range(draws)]
    for collection, judge in judges.items():
        features = rendering.in_batches(lambda part: spectral.mel(part, config)[0], judge.clips)
        rebuilt, truth = tool.reconstruct(features), tonality(judge.clips, config)
        late, onsets = zip(*heard.begin_late(judge), strict=True)
        late_features = tool.reconstruct(rendering.stored_features(np.stack(late), config)[0])
        for name, way in ways(config).items():
            sounds = {"real": play(way, features, 0, config), "rebuilt": play(way, rebuilt, 0, config)}
            real, again = (_distance(judge, part, judge.singles) for part in sounds.values())
            invented = [
                _distance(judge, play(way, part, seed, config), judge.invented) for seed, part in enumerate(random)
            ]
            modulation = heard.measured(hearing.hop_modulation, sounds["rebuilt"], judge.rate, judge.hop)
            echoes = [
                hearing.echo_before_onset_db(sound, judge.rate, onset)
                for sound, onset in zip(play(way, late_features, 0, config), onsets, strict=True)
            ]
            error = np.abs(tonality(sounds["rebuilt"], config) - truth).mean()
            medians = [float(np.nanmedian(part)) if np.isfinite(part).any() else None for part in (modulation, echoes)]
            rows.append([collection, name, real, again, float(np.mean(invented)), error, *medians])
    return rows


def _distance(judge: heard.Judge, sounds: Sequence[np.ndarray], sources: heard.Sources) -> float:
    """Mean distance of sounds from real ones, floors."""
    return float(np.mean(judge.distances(judge.place(heard.statistics(sounds, judge.rate)), sources)))


def table_of_widths(tool: SoundSampleTool, judges: dict[str, heard.Judge], draws: int) -> list[list[Any]]:
    """A row for each width and number of neighbours of the prior; the mean of several draws."""
    config, rows = tool.model.audio, []
    learned = heard.as_played(tool, tool.reference.embeddings, config.sample_rate)
    played = {
        name: heard.Played(learned, heard.as_played(tool, heard.real_latents(tool, judge), config.sample_rate))
        for name, judge in judges.items()
    }
    for width, neighbours in WIDTHS:
        seen: dict[str, list[tuple[float, float]]] = {name: [] for name in judges}
        for seed in range(draws):
            features = random_features(tool, heard.MOST, seed, width, neighbours)
            sounds = play(lambda part, _: texture.synthesise(part, config), features, seed, config)
            measured = heard.statistics(sounds, config.sample_rate)
            for name, judge in judges.items():
                points = judge.place(measured)
                seen[name].append(
                    (np.mean(judge.distances(points, judge.invented)), judge.copies(points, played[name]))
                )
        rows.append([width, neighbours, *(float(part) for values in seen.values() for part in np.mean(values, axis=0))])
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep both tables."""
    parser = commands.parser(COMMAND, __doc__, "a model of a few steps, on built-in sounds")
    parser.add_argument("--widths", action="store_true", help="measure the second table alone")
    options = parser.parse_args(arguments)
    if options.tiny:
        with trained.on_real_sounds(tiny=True) as (tool, dataset):
            folders = [Path(root) for root in dataset.roots]
            judge = heard.judge(tool, folders, folders, heard.TINY)
            report(tool, {"kits": judge, "foreign": judge}, 1, options)
    else:
        tool = SoundSampleTool("general")
        with TemporaryDirectory() as folder:
            learned = real_sounds.of_general(Path(folder) / "font")
            judges = {
                name: heard.judge(tool, heard.COLLECTIONS[name], learned, heard.MOST) for name in ("kits", "foreign")
            }
        report(tool, judges, DRAWS, options)


def report(tool: SoundSampleTool, judges: dict[str, heard.Judge], draws: int, options: argparse.Namespace) -> None:
    """Print both tables; keep them unless they are tiny."""
    note = (
        f"The model {'of a few steps' if options.tiny else 'general'}; at most {heard.MOST} sounds of each collection, "
        f"random sounds the mean of {draws} draws of {heard.MOST}"
    )
    if not options.widths:
        stored = None if options.tiny else "texture"
        measures.report(stored, COMMAND, WAY_COLUMNS, table_of_ways(tool, judges, draws), note)
    stored = None if options.tiny else "prior_width"
    measures.report(stored, f"{COMMAND} --widths", WIDTH_COLUMNS, table_of_widths(tool, judges, draws), note)


if __name__ == "__main__":
    main()
