"""Shared by the measurements: real one-shots, a measure of resynthesis, and the report of a table."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.common import results, tables
from experiments.common.real_sounds import FOLDERS, HYDROGEN_KITS, installed, installed_if_any
from vaelab import audio, files, spectral
from vaelab.config import AudioConfig
from vaelab.data import sound_files
from vaelab.models import checkpoint

SIZES = (128, 256, 512, 1024, 2048)  # of the windows, samples
BATCH = 16
LEAST_PEAK = 1e-3  # quieter files are not sounds to judge by


def one_shots(folders: Sequence[Path] = FOLDERS, seconds: float = 2.0) -> Iterator[Path]:
    """Every readable, audible sound of at most `seconds` below the folders, each content once, in a fixed order.

    Raises:
        MissingSounds: One of the folders holds none.
    """
    seen = set()
    for path in (path for folder in installed(folders) for path in sound_files(folder)):
        try:
            facts = audio.examine(path)
            if facts.seconds > seconds or facts.sha256 in seen:
                continue
            if np.abs(audio.read(path, 16000)).max() < LEAST_PEAK:
                continue
        except audio.AudioError:
            continue
        seen.add(facts.sha256)
        yield path


def clips(paths: Sequence[Path], config: AudioConfig) -> np.ndarray:
    """Clips of files, from their first sounds on: (n, samples)."""
    how = (config.sample_rate, None, config.clip_seconds)
    return np.stack([spectral.fit_length(audio.read_clip(path, *how)[1], config) for path in paths])


def stored_features(samples: np.ndarray, config: AudioConfig) -> tuple[np.ndarray, np.ndarray]:
    """Features as the store keeps and gives them, and linear gains: (n, frames, mels) and (n, 1)."""
    features, levels = in_batches(lambda batch: spectral.mel(batch, config), samples)
    features = np.asarray(spectral.dequantise(spectral.quantise(features)))
    return features, (10 ** (levels / 20)).astype(np.float32)[:, None]


def in_batches(function, *arrays: np.ndarray):
    """Apply a function of batches to the rows of arrays; its result is an array or a tuple of them."""
    starts = range(0, len(arrays[0]), BATCH)
    parts = [jax.tree.map(np.asarray, function(*(array[i : i + BATCH] for array in arrays))) for i in starts]
    return jax.tree.map(lambda *pieces: np.concatenate(pieces), *parts)


def spectral_convergence(true: np.ndarray, estimate: np.ndarray) -> np.ndarray:
    """|| |T| - |M| || / || |T| || of each sound, mean over five STFT sizes: (n, samples) twice -> (n,)."""
    return np.mean([in_batches(partial(_convergence, size=size), true, estimate) for size in SIZES], axis=0)


@partial(jax.jit, static_argnames="size")
def _convergence(true: jax.Array, estimate: jax.Array, size: int) -> jax.Array:
    def magnitude(samples):
        config = AudioConfig(clip_seconds=samples.shape[1] / 44100, n_fft=size, hop_length=size // 4, n_mels=1)
        return jnp.abs(spectral.stft(samples, config))

    wanted, actual = magnitude(true), magnitude(estimate)
    return jnp.linalg.norm(wanted - actual, axis=(1, 2)) / jnp.maximum(jnp.linalg.norm(wanted, axis=(1, 2)), 1e-9)


def report(
    name: str | None,
    command: str,
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    note: str,
    title: str | None = None,
    on_real_sounds: bool = True,
    **more: Any,
) -> Path | None:
    """Print a table and keep it as results/NAME.json, with the versions that decide a number; None keeps nothing.

    Args:
        name: Of the file.
        command: To make it again.
        columns: Names.
        rows: Cells; None is a cell without a figure.
        note: The text below the table.
        title: Of the table, if it is not the name.
        on_real_sounds: Keep the hash of the real sounds.
        more: What is kept beside the table.
    """
    print(tables.as_text(columns, rows))
    print(note)
    if name is None:
        return None
    table = {
        "name": title or name,
        "command": command,
        "columns": list(columns),
        "rows": [[_rounded(cell) for cell in row] for row in rows],
        "versions": checkpoint.versions(),
        **({"real_sounds": real_sounds_hash()} if on_real_sounds else {}),
        "note": note,
    }
    return results.write(name, {**table, **more})


def real_sounds_hash(folders: Sequence[Path] = FOLDERS) -> str | None:
    """A hash of the names and contents of the real sounds that are installed; None if there are none.

    Raises:
        MissingSounds: Some of the folders hold sounds, and others none.
    """
    whole = hashlib.sha256()
    paths = sorted(
        (path.relative_to(folder.parent if folder in HYDROGEN_KITS else folder).as_posix(), path)
        for folder in installed_if_any(folders)
        for path in sound_files(folder)
    )
    for name, path in paths:
        whole.update(f"{name} {files.content_hash(path)}\n".encode())
    return whole.hexdigest()[:16] if paths else None


def _rounded(cell: Any) -> Any:
    return round(float(cell), 4) if isinstance(cell, float | np.floating) else cell
