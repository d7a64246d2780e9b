"""From files to stored features, against a plain loop over librosa: `python -m experiments.speed.features`.

Other work on the machine swings the ratio of the times. Then the processor time tells more, with
OPENBLAS_NUM_THREADS=1, as the threads of librosa's matrix products otherwise spin while they wait for each other.
"""

import argparse
import os
import tempfile
import warnings
from collections.abc import Sequence
from pathlib import Path

import joblib
import librosa
import soundfile

from experiments.common import timing
from experiments.speed.options import folders, parsed
from vaelab import audio, files
from vaelab.config import AudioConfig
from vaelab.data import sound_files
from vaelab.datasets.feature_store import FeatureStore

COMMAND = "python -m experiments.speed.features"


def features(options: argparse.Namespace) -> None:
    """Measure and print."""
    warnings.filterwarnings("ignore", "n_fft=.* is too large", UserWarning)  # librosa's, about short sounds
    config = AudioConfig()

    def plain(path: Path) -> None:
        samples, rate = librosa.load(path, sr=config.sample_rate, duration=config.clip_seconds)
        librosa.feature.melspectrogram(
            y=samples, sr=rate, n_fft=config.n_fft, hop_length=config.hop_length, n_mels=config.n_mels
        )

    def bare(path: Path) -> None:
        with soundfile.SoundFile(path) as file:
            file.read(int(config.clip_seconds * file.samplerate), dtype="float32")

    def readable(path: Path) -> bool:
        try:
            return len(audio.read(path, config.sample_rate, seconds=config.clip_seconds)) > 0
        except audio.AudioError:
            return False

    with folders(options.data_dir, 20) as places, tempfile.TemporaryDirectory() as scratch:
        candidates = [path for folder in places for path in sound_files(folder)][: options.limit]
        # Each content once, as a dataset has it, and for every contender the same.
        unique = {files.content_hash(path): path for path in candidates if readable(path)}
        paths = list(unique.values())
        store = FeatureStore(Path(scratch) / "first", config)
        cold = timing.seconds(lambda: store.build(dict(list(unique.items())[:1]), progress=False))
        for path in paths[:5]:
            plain(path)
        rounds = {"vaelab": [], "librosa": [], "bare": []}
        spent = {"vaelab": [], "librosa": []}
        for number in range(options.rounds):
            store = FeatureStore(Path(scratch) / str(number), config)
            marks = [processor_seconds()]
            rounds["vaelab"].append(timing.seconds(lambda store=store: store.build(unique, progress=False)))
            marks.append(processor_seconds())
            rounds["librosa"].append(timing.seconds(lambda: [plain(path) for path in paths]))
            marks.append(processor_seconds())
            rounds["bare"].append(timing.seconds(lambda: [bare(path) for path in paths]))
            for name, start, end in zip(spent, marks, marks[1:], strict=False):
                spent[name].append(end - start)
    best = {name: min(times) for name, times in rounds.items()}
    cores = joblib.cpu_count()
    print(f"{len(paths)} sounds, {config.clip_seconds:g} s at {config.sample_rate} Hz, {cores} cores, load", end=" ")
    print(f"{os.getloadavg()[0]:.1f}; best of {options.rounds} rounds")
    print(f"feature store            {len(paths) / best['vaelab']:8.0f} sounds/s  (first sound after {cold:.1f} s)")
    print(f"plain loop over librosa  {len(paths) / best['librosa']:8.0f} sounds/s")
    print(f"ratio                    {best['librosa'] / best['vaelab']:8.1f}  (target: at least 3 on two cores)")
    ours, theirs = (1e3 * min(spent[name]) / len(paths) for name in ("vaelab", "librosa"))
    print(
        f"processor time           {ours:8.2f} ms a sound, session and workers; librosa's loop {theirs:.2f} ms:",
        end=" ",
    )
    print(f"at most {cores * theirs / ours:.1f} times as fast on {cores} cores")
    print(f"bare decode, one core    {len(paths) / best['bare']:8.0f} sounds/s; on {cores} cores at most ", end="")
    print(
        f"{cores * len(paths) / best['bare']:.0f}: the store reaches {best['bare'] / cores / best['vaelab']:.0%} of it"
    )


def processor_seconds(pid: int | str = "self") -> float:
    """Processor time that a process and all below it have spent, as Linux counts it."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    tasks = Path(f"/proc/{pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    own = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return own + sum(processor_seconds(child) for child in children)


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    with parsed(COMMAND, __doc__, arguments) as options:
        features(options)


if __name__ == "__main__":
    main()
