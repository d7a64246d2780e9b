"""Which drum is it? Leave one kit out: `python -m experiments.classify`.

Hydrogen's kits name their instruments. For each kit, a model is trained on all other kits and asked about the one it
has never met; the answers about all kits are pooled into one confusion matrix. The best weights are chosen on a tenth
of the sounds of the other kits, so that the kit asked about has no say in anything. Beside it stands what a few lines
of other libraries do on the same sounds and folds: statistics of MFCCs and logistic regression.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import librosa
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from experiments.speed import HYDROGEN
from vaelab import audio, checkpoint, data, files, train
from vaelab.config import AudioConfig, Config, ModelConfig, TrainConfig
from vaelab.evaluate import Sounds, balanced, confusion_matrix, recalls, scores
from vaelab.model import LEVELS
from vaelab.store import FeatureStore

CLASSES = ("kick", "snare", "rim", "clap", "closed_hat", "open_hat", "tom", "ride", "crash", "cowbell")
RESULT = Path(__file__).parent / "results" / "classify.json"
CONFIG = Config(
    AudioConfig(),
    ModelConfig(components=64, latent_dim=32, depth=1, hidden=128, flow_steps=2, flow_hidden=64),
    TrainConfig(
        batch_size=32,
        learning_rate=2e-3,
        weight_decay=0.1,
        class_weight=1e5,
        shift_frames=2,
        shift_bins=1,
        tilt_db=6.0,
        evaluate_every=50,
    ),
)
STEPS = 800
SEED = 0


def kits(root: Path, home: Path, config: AudioConfig) -> tuple[list[Path], np.ndarray, np.ndarray, np.ndarray]:
    """All sounds of all kits.

    Returns:
        Files; uint8 features (sounds, frames, mels); classes (sounds,), -1 where the kit names none of ours; and
        kits (sounds,).
    """
    found = data.make_dataset([root], "kits", labels="hydrogen-instrument", home=home, progress=False)
    store = FeatureStore(home / ".store", config)
    store.build({entry.sha256: found.source(entry) for entry in found.entries}, progress=False)
    entries = sorted((entry for entry in found.entries if entry.sha256 in store), key=lambda entry: entry.path)
    features, _ = store.rows([entry.sha256 for entry in entries])
    labels = np.array([CLASSES.index(entry.label) if entry.label in CLASSES else -1 for entry in entries], np.int32)
    return (
        [found.source(entry) for entry in entries],
        features,
        labels,
        np.array([e.path.split("/")[0] for e in entries]),
    )


def ours(
    features: np.ndarray, labels: np.ndarray, unseen: np.ndarray, config: Config, seed: int, steps: int
) -> np.ndarray:
    """Probabilities (unseen sounds, classes) by a model trained on the other kits."""
    others = np.flatnonzero(~unseen)
    held_out = np.random.default_rng(seed).permutation(others)[: len(others) // 10]
    sides = [_side(features, labels, np.setdiff1d(others, held_out)), _side(features, labels, held_out)]
    with tempfile.TemporaryDirectory() as logdir:
        model = train.fit(*sides, config, logdir, seed, steps, progress=False)
    return np.asarray(model.classify(features[unseen].astype(np.float32) / LEVELS)[0])


def mfcc_statistics(path: Path) -> np.ndarray:
    """Statistics of a file's first two seconds at 22,050 Hz; see `mfcc_of`."""
    return mfcc_of(audio.read(path, 22050, seconds=2.0), 22050)


def mfcc_of(samples: np.ndarray, rate: int) -> np.ndarray:
    """Mean and deviation over time of 20 MFCCs and of their differences (80,)."""
    cepstrum = librosa.feature.mfcc(y=np.pad(samples, (0, max(0, 8192 - len(samples)))), sr=rate, n_mfcc=20)
    parts = (cepstrum, librosa.feature.delta(cepstrum))
    return np.concatenate([value for part in parts for value in (part.mean(axis=1), part.std(axis=1))])


def theirs(statistics: np.ndarray, labels: np.ndarray, unseen: np.ndarray) -> np.ndarray:
    """Probabilities (unseen sounds, classes) by logistic regression on the other kits."""
    known = ~unseen & (labels >= 0)
    regression = LogisticRegression(C=0.1, class_weight="balanced", max_iter=2000)
    fitted = make_pipeline(StandardScaler(), regression).fit(statistics[known], labels[known])
    probabilities = np.zeros((unseen.sum(), len(CLASSES)))
    probabilities[:, fitted.classes_] = fitted.predict_proba(statistics[unseen])
    return probabilities


def answer(root: Path, config: Config, steps: int, only: Sequence[str] = (), baseline: bool = True) -> dict:
    """Both methods on all folds, pooled."""
    labelled = _with_labels(config)
    with tempfile.TemporaryDirectory() as scratch:
        paths, features, labels, kit = kits(root, Path(scratch), config.audio)
    statistics = np.stack([mfcc_statistics(path) for path in paths]) if baseline else None
    chosen = {name: np.full(len(labels), -1) for name in ("vaelab", "mfcc")}
    start, cpu = time.perf_counter(), time.process_time()
    for name in only or np.unique(kit):
        unseen = kit == name
        chosen["vaelab"][unseen] = ours(features, labels, unseen, labelled, SEED, steps).argmax(axis=1)
        if baseline:
            chosen["mfcc"][unseen] = theirs(statistics, labels, unseen).argmax(axis=1)
        print(_line(name, labels[unseen], {method: answers[unseen] for method, answers in chosen.items()}), flush=True)
    minutes = {"wall": (time.perf_counter() - start) / 60, "cpu": (time.process_time() - cpu) / 60}
    asked = (labels >= 0) & (chosen["vaelab"] >= 0)
    pooled = {
        method: confusion_matrix(labels[asked], answers[asked], len(CLASSES))
        for method, answers in chosen.items()
        if (answers[asked] >= 0).all()
    }
    return {
        "command": "python -m experiments.classify",
        "sounds": len(labels),
        "labelled": int(asked.sum()),
        "kits": len(only or np.unique(kit)),
        "minutes": minutes,
        "steps": steps,
        "config": config.to_dict(),
        "scores": {method: scores(matrix) for method, matrix in pooled.items()},
        "recalls": {method: dict(zip(CLASSES, recalls(matrix), strict=True)) for method, matrix in pooled.items()},
        "confusion": {method: matrix.tolist() for method, matrix in pooled.items()},
    }


def kept(outcome: dict) -> dict:
    """The outcome as a table for `experiments.table`; the confusion matrices and all knobs stay beside it."""
    methods = list(outcome["scores"])
    rows = [
        [measure.replace("_", " "), *[outcome["scores"][method][measure] for method in methods]]
        for measure in ("balanced_accuracy", "macro_f1", "accuracy")
    ]
    rows += [[f"recall of {name}", *[outcome["recalls"][method][name] for method in methods]] for name in CLASSES]
    note = (
        f"{outcome['labelled']} sounds of {outcome['kits']} kits, each heard by a model that never met its kit; beside "
        "it statistics of MFCCs and logistic regression. Target: balanced accuracy 0.70, and ahead of them."
    )
    table = {"name": "classify", "columns": ["", *methods], "rows": rows, "note": note}
    return {**table, "versions": checkpoint.versions(), **outcome}


def table(outcome: dict) -> str:
    """The outcome as text: scores of both, then our confusion matrix."""
    lines = [f"{'':<14}" + "".join(f"{method:>10}" for method in outcome["scores"])]
    for measure in ("balanced_accuracy", "macro_f1", "accuracy"):
        row = "".join(f"{each[measure]:10.3f}" for each in outcome["scores"].values())
        lines.append(f"{measure[:13]:<14}{row}")
    recall = outcome["recalls"].values()
    lines += [f"{name:<14}" + "".join(f"{each[name]:10.3f}" for each in recall) for name in CLASSES]
    lines.append("true class (rows) heard as: " + " ".join(f"{name[:6]:>6}" for name in CLASSES))
    for name, row in zip(CLASSES, outcome["confusion"]["vaelab"], strict=True):
        lines.append(f"{name:<28}" + " ".join(f"{count:6d}" for count in row))
    return "\n".join(lines)


def _side(features: np.ndarray, labels: np.ndarray, chosen: np.ndarray) -> Sounds:
    column = labels[chosen][:, None]
    return Sounds(features[chosen], column, balanced(column), tuple(map(str, chosen)))


def _with_labels(config: Config) -> Config:
    return Config(
        config.audio, ModelConfig.from_dict({**config.model.to_dict(), "labels": [["class", CLASSES]]}), config.train
    )


def _line(kit: str, labels: np.ndarray, chosen: dict[str, np.ndarray]) -> str:
    known = labels >= 0
    hits = {method: int((answers == labels)[known].sum()) for method, answers in chosen.items()}
    return f"{kit:<26} {known.sum():4d} sounds, right: " + ", ".join(f"{method} {hit}" for method, hit in hits.items())


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table; keep it with --keep."""
    parser = argparse.ArgumentParser(prog="python -m experiments.classify", description=__doc__.splitlines()[0])
    parser.add_argument("--data-dir", type=Path, default=HYDROGEN, metavar="DIR", help="a folder of Hydrogen kits")
    parser.add_argument("--config", type=Path, metavar="FILE.json", help="overrides of this experiment's knobs")
    parser.add_argument("--steps", type=int, default=STEPS, help=f"of each training (default {STEPS})")
    parser.add_argument("--only", nargs="+", default=[], metavar="KIT", help="these kits")
    parser.add_argument("--keep", action="store_true", help=f"write {RESULT.name} into experiments/results")
    options = parser.parse_args(arguments)
    config = CONFIG
    if options.config:
        overrides = json.loads(options.config.read_text(encoding="utf-8"))
        parts = {name: {**part, **overrides.get(name, {})} for name, part in CONFIG.to_dict().items()}
        config = Config.from_dict(parts)
    outcome = answer(options.data_dir, config, options.steps, options.only)
    print(table(outcome))
    minutes = "{cpu:.1f} CPU minutes, {wall:.1f} by the clock".format(**outcome["minutes"])
    print(f"{outcome['labelled']} sounds of {outcome['kits']} kits; {minutes}; {os.cpu_count()} cores")
    if options.keep:
        with files.replacing(RESULT) as temporary:
            temporary.write_text(json.dumps(kept(outcome), indent=1) + "\n", encoding="ascii")
        print(f"wrote {RESULT}")


if __name__ == "__main__":
    main()
