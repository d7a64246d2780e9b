"""Sounds and writing them to files, whole or not at all.

Samples are float32 in [-1, 1]: mono (samples,), or stereo (samples, 2), left first.
"""

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from vaelab import files
from vaelab.audio.guard import check_replaceable, sources_of
from vaelab.audio.reading import AudioError
from vaelab.audio.recipe import Recipe, write_recipe
from vaelab.text import printable

EXTENSIONS = (
    *(".wav", ".aiff", ".aif", ".aifc", ".flac", ".ogg", ".opus", ".mp3", ".caf"),
    *(".aac", ".m4a", ".wma", ".wv"),  # with PyAV
)
SUBTYPES = {16: "PCM_16", 24: "PCM_24", 32: "FLOAT"}
WRITABLE = {".wav": (16, 24, 32), ".flac": (16, 24), ".aiff": (16, 24, 32), ".aif": (16, 24, 32)}


@dataclass(frozen=True)
class Sound:
    """A sound and how it was made.

    Attributes:
        samples: float32 in [-1, 1]: mono (samples,), or stereo (samples, 2), left first.
        sample_rate: Hz.
        recipe: What made it, with full paths; empty if unknown.
    """

    samples: np.ndarray
    sample_rate: int
    recipe: Recipe = field(default_factory=Recipe)

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return len(self.samples) / self.sample_rate

    @property
    def mono(self) -> np.ndarray:
        """The samples mixed down: the mean of both channels (samples,)."""
        return self.samples if self.samples.ndim == 1 else self.samples @ np.full(2, 0.5, np.float32)

    def save(self, path: str | os.PathLike, *, bits: int = 16, overwrite: bool = False) -> Path:
        """Write the sound with its recipe; see `write`."""
        return write(path, self.samples, self.sample_rate, self.recipe, bits=bits, overwrite=overwrite)

    def __repr__(self) -> str:
        words = self.recipe.words() if isinstance(self.recipe, Recipe) else ""
        return f"Sound({self.seconds:.2f} s, {self.sample_rate} Hz" + (f', "{words}")' if words else ")")

    def _repr_html_(self) -> str:
        """A player, where the sound is the last value of a notebook cell."""
        from IPython.display import Audio

        return Audio(np.clip(self.samples.T, -1, 1), rate=self.sample_rate, normalize=False)._repr_html_()


def write(
    path: str | os.PathLike,
    samples: np.ndarray,
    sample_rate: int,
    recipe: Mapping[str, Any] | None = None,
    *,
    bits: int = 16,
    overwrite: bool = False,
) -> Path:
    """Write samples as wav, flac or aiff (by suffix): the whole file or none of it.

    A recipe rides inside a wav as a RIFF chunk, which players skip, and beside the others as
    `NAME.recipe.json`; paths in it become relative to the file's folder. Samples beyond full scale are clipped, with
    a warning that counts them; 32-bit files hold floating-point numbers and keep them.

    Args:
        path: Where to; missing folders are made.
        samples: In [-1, 1]: mono (samples,), or stereo (samples, 2).
        sample_rate: Hz.
        recipe: Plain JSON values.
        bits: 16, 24, or 32 (float; not in flac).
        overwrite: Also replace a file that vaelab did not write, or that is a source of the sound.

    Returns:
        The path written.

    Raises:
        AudioError: Unknown suffix, bits or rate, nothing to write, or samples that are not finite.
        TakenError: The file there must stay; see `check_replaceable`.
    """
    path = files.from_home(path)
    samples = np.asarray(samples, np.float32)
    check_writable(path, bits, sources_of(recipe or {}), overwrite=overwrite)
    if not (isinstance(sample_rate, int | np.integer) and sample_rate >= 1):
        raise AudioError(path, f"expected a rate in whole Hz, found {sample_rate!r}")
    if samples.ndim == 0 or samples.shape[1:] not in ((), (2,)) or not samples.size:
        raise AudioError(path, f"expected samples of shape (samples,) or (samples, 2), found shape {samples.shape}")
    if not np.isfinite(samples).all():
        raise AudioError(path, "expected finite samples, found NaN or infinity; nothing was written")
    if bits < 32 and (clipped := int(np.sum(np.abs(samples) > 1))):
        warnings.warn(f"{printable(path)}: clipped {clipped} samples beyond full scale", stacklevel=2)
        samples = np.clip(samples, -1, 1)
    with files.replacing(path) as temporary:
        soundfile.write(os.fsencode(temporary), samples, sample_rate, subtype=SUBTYPES[bits])
        write_recipe(Recipe(recipe or {}), temporary, path)
    return path


def check_writable(
    path: str | os.PathLike, bits: int = 16, sources: Iterable[Any] = (), *, overwrite: bool = False
) -> None:
    """Refuse a name or a format that `write` cannot write, before any work.

    Raises:
        AudioError: Unknown suffix, or bits that the format does not have.
        TakenError: The file there must stay; see `check_replaceable`, also for `sources` and `overwrite`.
    """
    check_format(path, bits)
    check_replaceable(path, sources, overwrite=overwrite)


def check_format(path: str | os.PathLike, bits: int = 16) -> None:
    """Refuse, with an AudioError, a suffix or bits that `write` cannot write."""
    suffix = Path(path).suffix.lower()
    if suffix not in WRITABLE:
        raise AudioError(path, f"expected a name ending in .wav, .flac or .aiff, found {suffix or 'none'}")
    if bits not in WRITABLE[suffix]:
        raise AudioError(path, f"expected {', '.join(map(str, WRITABLE[suffix]))} bits for {suffix}, found {bits}")
