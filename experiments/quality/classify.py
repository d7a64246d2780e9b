"""Drum classes of kits never trained on and, with --kits, kit identification: `python -m experiments.quality.classify`.

Hydrogen's kits name their instruments. Drums: for each kit, a classifier learns from all other kits and is asked about
the one it has never met. Kits: a classifier of the kit is asked about sounds drawn at random, a tenth at a time, and
about instruments that it has heard of no kit, one at a time. Answers are pooled into one confusion matrix. Ours is what
`vaelab train` makes: classifiers are solved before the first step (`vaelab.training.classifier`): no step is needed.
Built-in sounds of the same names may stand beside those of all kits that are learnt from (--built-in).
Beside it stands what a few lines of other libraries do on the same sounds and folds: statistics of MFCCs and logistic
regression.
"""

import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import jax
import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.common import commands, measures, tables
from experiments.common.real_sounds import CLASSES, HYDROGEN_KITS, installed, pack
from vaelab import audio, data
from vaelab.audio import synth
from vaelab.config import AudioConfig, Config, ModelConfig
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models.evaluate import Sounds, balanced, confusion_matrix, recalls, scores
from vaelab.spectral import dequantise
from vaelab.training import start

COMMAND = "python -m experiments.quality.classify"

BUILT_IN = "built-in"
CLASSES_BUILT_IN = [kind for kind in synth.KINDS if kind in CLASSES]
MEASURES = ("balanced_accuracy", "macro_f1", "accuracy")
RANDOM_FOLDS = 10
TINY_SOUNDS = 90
SEED = 0


def gather(
    roots: Sequence[Path], home: Path, config: AudioConfig, most: int | None = None, built_in: int = 0
) -> tuple[list[Path], np.ndarray, np.ndarray, np.ndarray]:
    """All sounds of all kits, or so many of them, evenly spaced; and so many built-in ones of each kind of drum.

    Returns:
        Files; uint8 features (sounds, frames, mels); instruments (sounds,), "" where the kit names none; and kits
        (sounds,), `BUILT_IN` for built-in ones.
    """
    dataset = data.make_dataset(roots, "kits", labels="hydrogen-instrument", home=home, progress=False)
    entries = sorted(dataset.entries, key=lambda entry: (pack(dataset, entry), entry.path))
    paths, features, instruments, kits = _read(dataset, entries, home, config, most)
    if built_in:
        synthesised = synth.write_dataset(home / "made", built_in, kinds=CLASSES_BUILT_IN, progress=False)
        dataset = data.make_dataset([synthesised], "made", classes=True, home=home, progress=False)
        more = _read(dataset, dataset.entries, home, config, None)
        paths, features = paths + more[0], np.concatenate([features, more[1]])
        instruments, kits = np.append(instruments, more[2]), np.append(kits, np.full(len(more[0]), BUILT_IN))
    return paths, features, instruments, kits


def _read(dataset: data.Dataset, entries: Sequence[data.Entry], home: Path, config: AudioConfig, most: int | None):
    if most is not None:
        entries = [entries[index] for index in np.linspace(0, len(entries) - 1, most).round().astype(int)]
    store = FeatureStore(home / ".store", config)
    store.build({entry.sha256: dataset.source(entry) for entry in entries}, progress=False)
    entries = [entry for entry in entries if entry.sha256 in store]
    features = store.rows([entry.sha256 for entry in entries])
    instruments = np.array([entry.label or "" for entry in entries])
    return [dataset.source(e) for e in entries], features, instruments, np.array([pack(dataset, e) for e in entries])


def ours(features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Probabilities (unseen sounds, classes) by the classifier of a model of the other sounds."""
    training = Sounds(features[~unseen], labels[~unseen], balanced(labels[~unseen]))
    config = Config(model=ModelConfig(components=16, labels=(("class", tuple(names)),)))  # no classifier reads them
    with tempfile.TemporaryDirectory() as logdir:
        model = start(training, config, Path(logdir), jax.random.key(SEED))
    parts = np.array_split(features[unseen], -(-unseen.sum() // 64))
    return np.concatenate([model.classify(dequantise(part)) for part in parts])


def mfcc_statistics(path: Path) -> np.ndarray:
    """Statistics of a file's first two seconds at 22,050 Hz; see `mfcc_of`."""
    return mfcc_of(audio.read(path, 22050, seconds=2.0), 22050)


def mfcc_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean and deviation over time of 20 MFCCs and of their differences (80,)."""
    cepstrum = librosa.feature.mfcc(y=np.pad(samples, (0, max(0, 8192 - len(samples)))), sr=rate, n_mfcc=20)
    parts = (cepstrum, librosa.feature.delta(cepstrum))
    return np.concatenate([value for part in parts for value in (part.mean(axis=1), part.std(axis=1))])


def theirs(statistics: np.ndarray, labels: np.ndarray, unseen: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Probabilities (unseen sounds, classes) by logistic regression on the other sounds."""
    labelled = ~unseen & (labels >= 0)
    regression = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    fitted = make_pipeline(StandardScaler(), regression).fit(statistics[labelled], labels[labelled])
    probabilities = np.zeros((unseen.sum(), len(names)))
    probabilities[:, fitted.classes_] = fitted.predict_proba(statistics[unseen])
    return probabilities


def asked(features: np.ndarray, statistics: np.ndarray, labels: np.ndarray, folds: np.ndarray, names: Sequence[str]):
    """The confusion matrices of both, by name; each fold is judged by what learnt from the others, -1 by none."""
    chosen = {name: np.full(len(labels), -1) for name in ("vaelab", "mfcc")}
    labelled = (labels >= 0) & (folds >= 0)
    for fold in np.unique(folds[labelled]):
        unseen = folds == fold
        chosen["vaelab"][unseen] = ours(features, labels, unseen, names).argmax(axis=1)
        chosen["mfcc"][unseen] = theirs(statistics, labels, unseen, names).argmax(axis=1)
        hits = ", ".join(f"{name} {int((answers == labels)[unseen].sum())}" for name, answers in chosen.items())
        print(f"fold {fold}: {int((labels[unseen] >= 0).sum())} sounds, right: {hits}", flush=True)
    return {name: confusion_matrix(labels[labelled], answers[labelled], len(names)) for name, answers in chosen.items()}


def answer(roots: Sequence[Path], kits: bool = False, tiny: bool = False, built_in: int = 0) -> dict:
    """Both methods on all folds, pooled.

    Args:
        roots: Hydrogen kits, or folders of them.
        kits: Ask for the kit, not for the drum.
        tiny: Ask few sounds, to see that all of it runs.
        built_in: Built-in sounds of each kind of drum to learn from as well.
    """
    start, cpu = time.perf_counter(), time.process_time()
    with tempfile.TemporaryDirectory() as scratch:
        paths, features, instruments, kit = gather(
            roots, Path(scratch), AudioConfig(), TINY_SOUNDS if tiny else None, built_in
        )
        statistics = np.stack([mfcc_statistics(path) for path in paths])
    kit_names, kit_numbers = np.unique(kit, return_inverse=True)
    if kits:
        names, labels = kit_names.tolist(), kit_numbers
        order = np.random.default_rng(SEED).permutation(len(labels))
        splits = {"random": order % RANDOM_FOLDS, "by instrument": np.unique(instruments, return_inverse=True)[1]}
    else:
        names = list(CLASSES)
        labels = np.array([names.index(label) if label in names else -1 for label in instruments])
        splits = {"kit never met": np.where(kit == BUILT_IN, -1, kit_numbers)}
    labels = labels.astype(np.int32)
    confusion = {}
    for split, folds in splits.items():
        for name, matrix in asked(features, statistics, labels, folds, names).items():
            confusion[f"{name}, {split}" if kits else name] = matrix.tolist()
    minutes = {"wall": (time.perf_counter() - start) / 60, "cpu": (time.process_time() - cpu) / 60}
    return {
        "command": COMMAND + " --kits" * kits + f" --built-in {built_in}" * bool(built_in),
        "classes": names,
        "labelled": int(((labels >= 0) & (kit != BUILT_IN)).sum()),
        "kits": len(set(kit_names) - {BUILT_IN}),
        "minutes": minutes,
        "confusion": confusion,
    }


def report(outcome: dict, keep: bool) -> Path | None:
    """Print the outcome, and keep it as a table with the confusion matrices beside it."""
    matrices = {name: np.array(matrix) for name, matrix in outcome["confusion"].items()}
    measured = {name: scores(matrix) for name, matrix in matrices.items()}
    rows = [[name.replace("_", " "), *(_rounded(each[name]) for each in measured.values())] for name in MEASURES]
    recalled = [recalls(matrix) for matrix in matrices.values()]
    rows += [
        [f"recall of {name}", *(_rounded(each) for each in row)]
        for name, *row in zip(outcome["classes"], *recalled, strict=True)
    ]
    drums = "vaelab" in matrices
    how = (
        "each is classified by a model trained on the other kits. Its settings were chosen on these very folds, so the "
        "figures are somewhat high: `python -m experiments.quality.classes` chooses them on other kits. Target: more "
        "than MFCCs"
        if drums
        else "each is classified by a model trained on the other nine tenths (random) or on all other instruments (by "
        f"instrument); chance is {1 / outcome['kits']:.2f}. Target: more than MFCCs in both"
    )
    note = f"{outcome['labelled']} sounds of {outcome['kits']} kits; {how} (logistic regression on their statistics)"
    name = "classify" if drums else "classify_kits"
    path = measures.report(
        name if keep else None, columns=["", *matrices], rows=rows, note=note, scores=measured, **outcome
    )
    for method, matrix in outcome["confusion"].items():
        print(f"\n{method}: true class (rows) heard as")
        counts = [[label, *row] for label, row in zip(outcome["classes"], matrix, strict=True)]
        print(tables.as_text(["", *(label[:6] for label in outcome["classes"])], counts))
    return path


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(share, 3)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; keep it with --keep."""
    parser = commands.parser(COMMAND, __doc__, "few sounds, to see that all of it runs")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="a folder of Hydrogen kits (default: Debian's)")
    parser.add_argument("--kits", action="store_true", help="which kit is it?")
    parser.add_argument("--built-in", type=int, default=0, metavar="N", help="so many of each kind to learn from too")
    parser.add_argument("--keep", action="store_true", help="write the table into experiments/results")
    options = parser.parse_args(arguments)
    if options.kits and options.built_in:
        parser.error("--built-in: expected none with --kits, which asks for kits alone")
    outcome = answer(
        [options.data_dir] if options.data_dir else installed(HYDROGEN_KITS),
        options.kits,
        options.tiny,
        options.built_in,
    )
    path = report(outcome, keep=options.keep and not options.tiny)
    minutes = "{cpu:.1f} CPU minutes, {wall:.1f} by the clock".format(**outcome["minutes"])
    print(f"{outcome['labelled']} sounds of {outcome['kits']} kits; {minutes}; {os.cpu_count()} cores")
    if path:
        print(f"wrote {path}")


if __name__ == "__main__":
    main()
