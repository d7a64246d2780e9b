"""Sound of what a model plays, against real sounds it never met: `python -m experiments.quality.heard`.

Every sound is made by the calls that a user makes, and judged on its samples by librosa (`experiments.common.hearing`),
not by features that a model learned from:

    distance    Frechet distance between the cepstral statistics of sounds made from one half of the real ones and the
                other half, in 12 principal components; 1 floor is the distance between the halves themselves
    near        sum of a mix's distances from its two sources, over the distance between these; 1 is in between
    folder      share of mixes of two sounds of a folder that have mostly this folder among their 10 nearest real sounds
    copies      share of sounds nearer to a source than 95 % of real sounds are to any training sound; of random sounds,
                nearer to a training sound as the model plays it than 95 % of real sounds, played likewise: a set of
                copies scores 1, also of copies that the model plays (the row of temperature 0)
    error dB    mean distance of the model's reconstruction where a sound is audible (no invention, no phase)

Two collections: foreign sounds, of LMMS, that no training and no choice has met; and the drum kits that ended the
training of the models, on which defaults are chosen (`--on kits`). The pictures
show the worst five reconstructions and a mix.
"""

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed
from matplotlib.figure import Figure
from scipy.spatial.distance import cdist

from experiments.common import commands, hearing, measures, real_sounds, trained
from experiments.common.results import FOLDER
from experiments.quality.prior import frechet
from vaelab import SoundSampleTool, audio, spectral
from vaelab.play import detail, rendering
from vaelab.ui import plots

COMMAND = "python -m experiments.quality.heard"
COLLECTIONS = {
    "foreign": real_sounds.FOREIGN,
    "kits": tuple(real_sounds.HYDROGEN / kit for kit in real_sounds.HELD_OUT),
}
MOST, MOST_TRAINING, LONGEST_S = 120, 1200, 4.0
COMPONENTS, NEIGHBOURS, SPLITS, WORST = 12, 10, 3, 5
NEARER_THAN = 5  # per cent of real sounds are nearer to a training sound than this
DETAILS, FEW_DETAILS = (0.0, 0.25, 0.5, 0.75, 1.0), (0.0, 1.0)  # where the default is chosen; elsewhere
TINY = 6
FEW = 20  # sounds that are measured in this process
RANDOM = {
    "prior sounds": {"prior": "sounds"},
    "temperature 0": {"prior": "sounds", "temperature": 0.0},
    "prior normal": {"prior": "normal"},
}
PICTURE = FOLDER / "heard.png"
MOST_LATE = 20
PADDED_S, QUIET_DB = 0.1, -60.0  # sounds that echoes before the onset are measured on begin this late, after silence
COLUMNS = (
    "sounds",
    "distance",
    "range",
    "near",
    "folder",
    "copies",
    "steps in time dB",
    "between bands dB",
    "attack ms",
    "above 8 kHz dB",
    "tail dB",
    "at the hop's rate",
    "echo before the onset dB",
)


def measured(function: Callable, sounds: Sequence[np.ndarray], *arguments: Any) -> np.ndarray:
    """A function of each sound and the arguments, on all cores: (n, ...)."""
    return np.array(
        Parallel(1 if len(sounds) < FEW else -1)(delayed(function)(samples, *arguments) for samples in sounds)
    )


def statistics(sounds: Sequence[np.ndarray], rate: int) -> np.ndarray:
    """Cepstral statistics of sounds: (n, statistics)."""
    return measured(hearing.cepstral_statistics, sounds, rate)


class Sources(NamedTuple):
    """Sources of sounds that are judged.

    Attributes:
        of_sound: Indices of the real sounds that each was made from, (n, k); None if it has none.
        of_split: Indices of the sounds that each split compares, made from its first half.
    """

    of_sound: np.ndarray | None
    of_split: list[np.ndarray]


class Played(NamedTuple):
    """Cepstral statistics of sounds as a model plays them, without a source's phase.

    Attributes:
        training: Of all training sounds that the model remembers (m, statistics).
        real: Of the real sounds (n, statistics).
    """

    training: np.ndarray
    real: np.ndarray


@dataclass(frozen=True)
class Judge:
    """Real sounds, and a space of cepstral statistics in which others are compared with them.

    Attributes:
        paths: Of the real sounds.
        clips: Their samples (n, samples), as a model reads them.
        learned: Samples of some sounds that a model was trained on, at most as many.
        training: Cepstral statistics of more of them (m, statistics), for the copy detector of what has sources.
        rate: Hz.
        hop: Of the model, samples.
    """

    paths: list[Path]
    clips: np.ndarray
    learned: np.ndarray
    training: np.ndarray
    rate: int
    hop: int

    @cached_property
    def real(self) -> np.ndarray:
        """The real sounds in the space: (n, components)."""
        return self.place(self._statistics)

    @cached_property
    def _statistics(self) -> np.ndarray:
        return statistics(self.clips, self.rate)

    @cached_property
    def _axes(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        centre, spread = self._statistics.mean(axis=0), self._statistics.std(axis=0) + 1e-9
        count = min(COMPONENTS, len(self.clips) // 2 - 1)  # of fewer sounds than that, covariances are singular
        return centre, spread, np.linalg.svd((self._statistics - centre) / spread, full_matrices=False)[2][:count]

    def place(self, measured: np.ndarray) -> np.ndarray:
        """Cepstral statistics (n, statistics) in the space."""
        centre, spread, axes = self._axes
        return ((measured - centre) / spread) @ axes.T

    @cached_property
    def splits(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Indices of the real sounds that sounds are made from, and of those that these are compared with."""
        orders = [np.random.default_rng(seed).permutation(len(self.clips)) for seed in range(SPLITS)]
        halves = [np.array_split(order, 2) for order in orders]
        return [sides for first, other in halves for sides in ((first, other), (other, first))]

    @cached_property
    def floor(self) -> float:
        """Mean distance between two halves of the real sounds."""
        return float(np.mean([frechet(self.real[first], self.real[other]) for first, other in self.splits]))

    @cached_property
    def copy_distance(self) -> float:
        """A sound nearer than this to one that it came from is a copy."""
        return float(np.percentile(cdist(self.real, self.place(self.training)).min(axis=1), NEARER_THAN))

    def distances(self, points: np.ndarray, made_from: "Sources") -> list[float]:
        """Distance of points (n, components) from the real sounds that they are compared with, a split each, floors."""
        return [
            frechet(points[chosen], self.real[other]) / self.floor
            for chosen, (_, other) in zip(made_from.of_split, self.splits, strict=True)
        ]

    def copies(self, points: np.ndarray, played: Played) -> float:
        """Share of points (n, components) nearer to a training sound, as it is played, than most real sounds."""
        training, real = self.place(played.training), self.place(played.real)
        limit = np.percentile(cdist(real, training).min(axis=1), NEARER_THAN)
        return float((cdist(points, training).min(axis=1) < limit).mean())

    def row(
        self,
        name: str,
        sounds: Sequence[np.ndarray],
        made_from: "Sources",
        echo: float | None = None,
        played: Played | None = None,
    ) -> list[Any]:
        """A row of the table; of random sounds, copies are told by what the model plays."""
        points = self.place(statistics(sounds, self.rate))
        values = self.distances(points, made_from)
        properties = measured(hearing.properties, sounds, self.rate)
        modulation = measured(hearing.hop_modulation, sounds, self.rate, self.hop)
        return [
            name,
            float(np.mean(values)),
            f"{min(values):.2f} to {max(values):.2f}",
            self._near(points, made_from.of_sound),
            None,
            self._copies_of_sources(points, made_from.of_sound) if played is None else self.copies(points, played),
            *_medians(np.column_stack([properties, modulation])),
            echo,
        ]

    def _copies_of_sources(self, points: np.ndarray, sources: np.ndarray | None) -> float | None:
        if sources is None:
            return None
        apart = [cdist(point[None], origin).min() for point, origin in zip(points, self.real[sources], strict=True)]
        return float((np.array(apart) < self.copy_distance).mean())

    @cached_property
    def singles(self) -> Sources:
        """Each real sound by itself."""
        return Sources(np.arange(len(self.clips))[:, None], [first for first, _ in self.splits])

    @cached_property
    def pairs(self) -> Sources:
        """As many mixes of two as each half has sounds, each sound in two of them."""
        pairs = [np.stack([first, np.roll(first, 1)], axis=1) for first, _ in self.splits]
        starts = np.cumsum([0, *map(len, pairs)])
        return Sources(
            np.concatenate(pairs),
            [np.arange(start, start + len(pair)) for start, pair in zip(starts[:-1], pairs, strict=True)],
        )

    @cached_property
    def invented(self) -> Sources:
        """Sounds without sources, as many as there are real ones."""
        return Sources(None, [first for first, _ in self.splits])

    def _near(self, points: np.ndarray, sources: np.ndarray | None) -> float | None:
        if sources is None or sources.shape[1] != 2:
            return None
        first, second = self.real[sources[:, 0]], self.real[sources[:, 1]]
        way = np.linalg.norm(points - first, axis=1) + np.linalg.norm(points - second, axis=1)
        return float(np.mean(way / np.maximum(np.linalg.norm(first - second, axis=1), 1e-9)))

    def share_in_folder(self, sounds: Sequence[np.ndarray], sources: np.ndarray) -> float:
        """Share of mixes (from pairs of one folder) that have mostly that folder among their nearest real sounds."""
        apart = cdist(self.place(statistics(sounds, self.rate)), self.real)
        for row, pair in zip(apart, sources, strict=True):
            row[pair] = np.inf
        folders = np.array([path.parent.name for path in self.paths])
        nearest = folders[np.argsort(apart, axis=1)[:, :NEIGHBOURS]]
        own = folders[sources[:, 0]]
        return float(((nearest == own[:, None]).mean(axis=1) > 0.5).mean())


def _medians(values: np.ndarray) -> list[float | None]:
    """Median of each column of (n, columns); None where no sound has a value."""
    columns = [column[np.isfinite(column)] for column in values.T]
    return [float(np.median(column)) if len(column) else None for column in columns]


def judge(tool: SoundSampleTool, folders: Sequence[Path], training: Sequence[Path], most: int) -> Judge:
    """A judge by the sounds of some folders."""
    config = tool.model.audio
    paths = list(measures.one_shots(folders, LONGEST_S))
    paths = [paths[index] for index in spectral.evenly_spaced(len(paths), most)]
    learned = list(measures.one_shots(training, LONGEST_S))
    learned = [learned[index] for index in spectral.evenly_spaced(len(learned), min(MOST_TRAINING, 10 * most))]
    samples = measures.clips(learned, config)
    some = samples[spectral.evenly_spaced(len(samples), len(paths))]
    some = np.resize(some, (len(paths), some.shape[1]))
    rate = config.sample_rate
    return Judge(paths, measures.clips(paths, config), some, statistics(samples, rate), rate, config.hop_length)


def plain_sum(judge: Judge, pair: Sequence[int], config) -> np.ndarray:
    """Two sounds simply added, as a bound: no model takes part."""
    return rendering.finished(judge.clips[list(pair)].mean(axis=0), None, config)


def pairs_within(judge: Judge) -> np.ndarray:
    """For each real sound that has enough others in its folder, the pair (n, 2) with one of them."""
    rng = np.random.default_rng(0)
    folders = np.array([path.parent.name for path in judge.paths])
    firsts = [index for index in range(len(folders)) if (folders == folders[index]).sum() > NEIGHBOURS]
    return np.array([(i, rng.choice(np.setdiff1d(np.flatnonzero(folders == folders[i]), [i]))) for i in firsts])


def error_db(tool: SoundSampleTool, clips: np.ndarray) -> float:
    """Mean distance of features from their reconstruction where the sound is audible, dB."""
    features, _ = rendering.stored_features(clips, tool.model.audio)
    top_db = tool.model.audio.top_db
    return float(
        np.abs(tool.reconstruct(features) - features)[features > 1 - hearing.AUDIBLE_DB / top_db].mean() * top_db
    )


def begin_late(judge: Judge) -> list[tuple[np.ndarray, int]]:
    """Some real sounds, peaking at 1, that begin after silence, and their onsets in samples."""
    pad, late = round(PADDED_S * judge.rate), []
    for clip in judge.clips:
        samples = np.concatenate([np.zeros(pad, np.float32), clip])[: len(clip)]
        onset = pad + detail.onset(clip)
        if hearing.echo_before_onset_db(samples, judge.rate, onset) <= QUIET_DB and len(late) < MOST_LATE:
            late.append((samples / np.abs(samples).max(), onset))
    return late


def late_sounds(judge: Judge, folder: Path) -> list[tuple[Path, int]]:
    """Files of some real sounds that begin after silence, and their onsets in samples."""
    return [
        (audio.write(folder / f"{number}.wav", samples, judge.rate, bits=32), onset)
        for number, (samples, onset) in enumerate(begin_late(judge))
    ]


def echo_db(
    tool: SoundSampleTool, judge: Judge, late: Sequence[tuple[Path, int]], many: int, **settings: Any
) -> float | None:
    """Median level before the onset of sounds made from one late sound or more, in relation to their peak."""
    levels = []
    for start in range(len(late)):
        paths, onsets = zip(*(late[(start + step) % len(late)] for step in range(many)), strict=True)
        sound = _generate(tool, paths, offsets=[0.0] * many, **settings)  # with the silence before them
        levels.append(hearing.echo_before_onset_db(sound, judge.rate, round(float(np.mean(onsets)))))
    return float(np.median(levels)) if levels else None


def _generate(tool: SoundSampleTool, files: Sequence[Path] | None, **settings: Any) -> np.ndarray:
    return tool.generate(audio_files=files, seed=0, **settings).samples


def measure(tool: SoundSampleTool, judge: Judge, details: Sequence[float]) -> list[list[Any]]:
    """Rows of the table."""
    within, config = pairs_within(judge), tool.model.audio
    with TemporaryDirectory() as scratch:
        late = late_sounds(judge, Path(scratch))
        rows = [judge.row("real sounds", list(judge.clips), judge.singles)]

        def add(name: str, sources: Sources, make: Callable[..., np.ndarray], **settings: Any) -> None:
            sounds = [make(row, **settings) for row in sources.of_sound]
            echo = None if make is summed else echo_db(tool, judge, late, sources.of_sound.shape[1], **settings)
            rows.append(judge.row(name, sounds, sources, echo))
            if sources is judge.pairs and len(within):
                folder = judge.share_in_folder([make(pair, **settings) for pair in within], within)
                rows[-1][COLUMNS.index("folder")] = folder

        def summed(which: np.ndarray) -> np.ndarray:
            return plain_sum(judge, which, config)

        def played(which: np.ndarray, **settings: Any) -> np.ndarray:
            return _generate(tool, [judge.paths[index] for index in which], **settings)

        add("plain sum of two", judge.pairs, summed)
        for share in details:
            add(f"mix of two, detail {share:g}", judge.pairs, played, detail=share)
        for share in details:
            add(f"reconstruction, detail {share:g}", judge.singles, played, detail=share)
        add("reconstruction, detail 0, no phase", judge.singles, played, detail=0.0, phase=False)
        for name, value in {"variance": 0.25, "spread": 1.0}.items():
            for share in (0.0, 1.0):
                words = f"variation, {name} {value:g}, detail {share:g}"
                add(words, judge.singles, played, **{name: value}, detail=share)
    rows.append(judge.row("training sounds", list(judge.learned), judge.invented))
    seeds = np.random.default_rng(0).integers(2**31, size=len(judge.paths))
    latents = (tool.reference.embeddings, real_latents(tool, judge))
    for share in (0.0, 1.0):
        played_so = Played(*(as_played(tool, z, judge.rate, share) for z in latents))
        borrowed = ", detail of a library's" if share else ""
        for name, settings in RANDOM.items():
            sounds = [tool.generate(detail=share, seed=int(seed), **settings).samples for seed in seeds]
            rows.append(judge.row(f"random, {name}{borrowed}", sounds, judge.invented, played=played_so))
    return rows


def as_played(tool: SoundSampleTool, z: np.ndarray, rate: int, detail: float = 0.0) -> np.ndarray:
    """Cepstral statistics of latents (n, latent) as the tool plays them, with the detail of a library's sounds."""
    return statistics([sound.samples for sound in tool.decode(z.astype(np.float32), detail=detail)], rate)


def real_latents(tool: SoundSampleTool, judge: Judge) -> np.ndarray:
    """Embeddings of the real sounds (n, latent)."""
    return rendering.embed(tool.model, rendering.stored_features(judge.clips, tool.model.audio)[0], 0)


def draw(tool: SoundSampleTool, judge: Judge) -> Figure:
    """Spectrograms of the five worst reconstructions and of a mix: as real, at detail 0, at detail 1."""
    config = tool.model.audio
    features, _ = rendering.stored_features(judge.clips, config)
    audible = features > 1 - hearing.AUDIBLE_DB / config.top_db
    errors = np.abs(tool.reconstruct(features) - features).mean(axis=(1, 2), where=audible)
    worst = np.argsort(-errors)[:WORST]
    clips, titles = [], []
    for index in worst:
        path = judge.paths[index]
        clips += [judge.clips[index], *(_generate(tool, [path], detail=share) for share in (0.0, 1.0))]
        titles += [f"{path.stem}, real", "reconstruction, detail 0", "reconstruction, detail 1"]
    pair = judge.pairs.of_sound[0]
    files = [judge.paths[index] for index in pair]
    clips += [plain_sum(judge, pair, config), *(_generate(tool, files, detail=share) for share in (0.0, 1.0))]
    titles += [f"{files[0].stem} + {files[1].stem}, plain sum", "mix, detail 0", "mix, detail 1"]
    return plots.spectrograms(np.asarray(spectral.mel(np.stack(clips), config)[0]), config, titles, columns=3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, print, keep the table and the picture."""
    parser = commands.parser(COMMAND, __doc__, "a model of a few steps, on built-in sounds")
    parser.add_argument(
        "--model", default="general", help="name, file or logdir (default general, whose tables are kept)"
    )
    parser.add_argument("--on", choices=COLLECTIONS, default="foreign", help="which real sounds (default foreign)")
    options = parser.parse_args(arguments)
    if options.tiny:
        with trained.on_real_sounds(tiny=True) as (tool, dataset):
            folders = [Path(root) for root in dataset.roots]
            report(tool, judge(tool, folders, folders, TINY), folders[0], options)
    else:
        tool = SoundSampleTool(options.model)
        with TemporaryDirectory() as folder:
            by = judge(tool, COLLECTIONS[options.on], real_sounds.of_general(Path(folder) / "font"), MOST)
        report(tool, by, real_sounds.SONIC_PI, options)


def report(tool: SoundSampleTool, judge: Judge, library_dir: Path, options: argparse.Namespace) -> None:
    """Measure by a judge, print, keep the tables of `general`; random sounds borrow detail from a library."""
    is_stored = not options.tiny and options.model == "general"
    with TemporaryDirectory() as home:
        tool.open_library(library_dir, home=home, progress=False)
        rows = measure(tool, judge, DETAILS if options.on == "kits" else FEW_DETAILS)
    error = error_db(tool, judge.clips)
    collection = "built-in kinds" if options.tiny else {"foreign": "LMMS", "kits": "the drum kits held out"}[options.on]
    note = (
        f"{len(judge.paths)} sounds of {collection}; the model {options.model}, whose reconstructions are off by "
        f"{error:.2f} dB where audible. Distance in floors, mean and range of {2 * SPLITS} halves; medians of the "
        "properties. Targets (foreign sounds): reconstruction 1.4, mix 2.6, random 1.5 with at most 15 % copies, "
        "normal prior 4; steps within 15 % of real; the hop's rate within 0.02; echo -40 dB; folder 35 %"
    )
    name = ("heard" if options.on == "foreign" else f"heard_{options.on}") if is_stored else None
    command = COMMAND if options.on == "foreign" else f"{COMMAND} --on {options.on}"
    measures.report(name, command, COLUMNS, rows, note)
    if is_stored and options.on == "foreign":
        draw(tool, judge).savefig(PICTURE, dpi=60)
    elif options.tiny:
        draw(tool, judge)


if __name__ == "__main__":
    main()
