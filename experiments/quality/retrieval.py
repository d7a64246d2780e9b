"""Does similarity search find what it should: `python -m experiments.quality.retrieval`.

Precision: each labelled drum of the held-out kits asks for ten sounds among the labelled drums of all other kits; how
many are of its class, class by class, then averaged. Finding itself: each of the sounds, made quieter, later, noisier,
or an mp3, asks among all of them; how often the sound itself comes first. Beside timbres, as `find_similar` compares
them, and the model's embeddings stand the statistics of MFCCs and the principal components of log-mel features. All
but embeddings are in units of their deviations.
"""

import io
from collections.abc import Callable, Sequence

import numpy as np
import soundfile

from experiments.common import commands, measures, real_sounds, trained
from experiments.common.real_sounds import CLASSES
from experiments.quality.classify import mfcc_of
from vaelab import SoundSampleTool, audio, pca, spectral
from vaelab.audio import timbre
from vaelab.data import Dataset, Entry
from vaelab.library.search import nearest

COMMAND = "python -m experiments.quality.retrieval"

NEIGHBOURS, COMPONENTS = 10, 64
SHIFT_S, GAIN_DB, SNR_DB = 0.05, -12.0, 30.0

Space = Callable[[np.ndarray], np.ndarray]


def changes(rate: int) -> dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]]:
    """Alterations of a sound (samples,) before it is searched for."""
    late = round(SHIFT_S * rate)

    def noisy(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        scale = np.sqrt(np.mean(np.square(samples))) * 10 ** (-SNR_DB / 20)
        return samples + scale * rng.standard_normal(len(samples)).astype(np.float32)

    def as_mp3(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        file = io.BytesIO()
        soundfile.write(file, samples, rate, format="MP3")
        file.seek(0)
        return soundfile.read(file, dtype="float32")[0][: len(samples)]

    return {
        f"{GAIN_DB:g} dB": lambda samples, rng: samples * np.float32(10 ** (GAIN_DB / 20)),
        f"{1000 * SHIFT_S:g} ms later": lambda samples, rng: np.pad(samples, (late, 0))[: len(samples)],
        f"noise at {SNR_DB:g} dB": noisy,
        "mp3": as_mp3,
    }


def at_first_sound(clip: np.ndarray, rate: int) -> np.ndarray:
    """A clip (samples,) that begins where it would if it were read from a file (`audio.read_clip`)."""
    start = round(audio.silence.clip_start([clip], rate) * rate)
    return np.pad(clip[start:], (0, start))


def spaces(tool: SoundSampleTool, training: np.ndarray) -> dict[str, Space]:
    """Clips (n, samples) -> points (n, any), in five ways; all are fitted on the training sounds' clips."""
    config = tool.model.audio

    def features(clips: np.ndarray) -> np.ndarray:
        return measures.stored_features(clips, config)[0]

    def statistics(clips: np.ndarray) -> np.ndarray:
        return np.stack([mfcc_of(clip, config.sample_rate) for clip in clips])

    levels = spectral.quantise(features(training))
    count = min(COMPONENTS, len(training) - 1)
    principal = pca.fit(levels, count, count, logits=False)
    axes = principal.axes.reshape(count, -1) / principal.spread[:, None]
    seen = statistics(training)
    centre, spread = seen.mean(axis=0), np.maximum(seen.std(axis=0), 1e-6)
    scale = timbre.fit(levels, timbre.CEPSTRA)

    def timbres(clips: np.ndarray) -> np.ndarray:
        measured = timbre.stored_statistics(spectral.quantise(features(clips)), timbre.CEPSTRA)
        return (measured - scale.centre[None]) / scale.spread[None]

    def embeddings(clips: np.ndarray) -> np.ndarray:
        return measures.in_batches(tool.model.encode, features(clips))

    return {
        "vaelab, timbre": timbres,
        "vaelab, embedding": lambda clips: embeddings(clips) @ tool.reference.probe.astype(np.float32),
        "all latents alike": embeddings,
        "MFCC statistics": lambda clips: ((statistics(clips) - centre[None]) / spread[None]).astype(np.float32),
        "PCA of log-mel": lambda clips: (features(clips) - principal.centre[None]).reshape(len(clips), -1) @ axes.T,
    }


def precision(points: np.ndarray, labels: np.ndarray, packs: np.ndarray, asked: np.ndarray) -> dict[str, float]:
    """Share of the asking sound's class among its neighbours in other packs: by class."""
    hits: dict[str, list[float]] = {}
    for number in np.flatnonzero(asked):
        others = np.flatnonzero(packs != packs[number])
        indices, _ = nearest(points[others], points[number], NEIGHBOURS)
        hits.setdefault(labels[number], []).append(float(np.mean(labels[others[indices]] == labels[number])))
    return {name: float(np.mean(values)) for name, values in hits.items()}


def found_again(library: np.ndarray, asking: np.ndarray) -> float:
    """Share of altered sounds whose nearest neighbour is the original."""
    indices, _ = nearest(library, asking, 1)
    return float(np.mean(indices[:, 0] == np.arange(len(library))))


def measure(tool: SoundSampleTool, dataset: Dataset) -> list[list]:
    """The rows of the table."""
    config = tool.model.audio
    entries = [entry for entry in dataset.entries if _is_heard(dataset, entry, config.sample_rate)]
    rate = config.sample_rate
    clips = measures.clips([dataset.source(entry) for entry in entries], config)
    held_out = np.array([entry.split == "validation" for entry in entries])
    labels = np.array([entry.label if entry.label in CLASSES else "" for entry in entries])
    packs = np.array([real_sounds.pack(dataset, entry) for entry in entries])
    drums = labels != ""
    rng = np.random.default_rng(0)
    changed = {
        name: np.stack([at_first_sound(change(clip, rng), rate) for clip in clips])
        for name, change in changes(rate).items()
    }
    rows = []
    for name, space in spaces(tool, clips[~held_out]).items():
        points = space(clips)
        by_class = precision(points[drums], labels[drums], packs[drums], held_out[drums])
        again = [found_again(points, space(sounds)) for sounds in changed.values()]
        rows.append([name, float(np.mean(list(by_class.values()))), *again])
    chance = [float(np.mean(labels[drums] == name)) for name in sorted(set(labels[drums & held_out]))]
    return [*rows, ["chance", float(np.mean(chance)), *[1 / len(clips)] * len(changed)]]


def _is_heard(dataset: Dataset, entry: Entry, rate: int) -> bool:
    """True if a sound is not silent."""
    return float(np.abs(audio.read(dataset.source(entry), rate)).max()) > measures.LEAST_PEAK


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print, keep the table."""
    parser = commands.parser(COMMAND, __doc__)
    options = parser.parse_args(arguments)
    with trained.on_real_sounds(options.tiny) as (tool, dataset):
        rows = measure(tool, dataset)
    note = (
        f"precision at {NEIGHBOURS}: each drum of the held-out kits is looked up among the drums of other kits; "
        f"share of the {NEIGHBOURS} nearest that have its class, mean over classes. The other columns: each of "
        f"{len(dataset.entries)} sounds is changed, then looked up among all of them; share that come first. Higher "
        "is better. The model was trained on the other packs, without labels, until training ended by itself. Its "
        "latents and PCA depend on when things happen and how loud each frame is, which hides what sounds of a "
        "class have in common; statistics over time do not, nor do embeddings through the probe of them "
        "(`vaelab.training.probe`). `find_similar` compares timbre by default."
    )
    columns = ["space", f"precision at {NEIGHBOURS}", *changes(44100)]
    name = None if options.tiny else "retrieval"
    measures.report(name, COMMAND, columns, rows, note)


if __name__ == "__main__":
    main()
