"""Checks of what a caller asks for, before any work is done."""

import difflib
import functools
import inspect
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import VaelabError, audio, files
from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.play import rendering
from vaelab.play.detail import DEFAULT as DETAIL


class ToolError(VaelabError):
    """Something asked of a model that it cannot do; the message says what would help."""


def offsets_of(
    audio_files: Sequence[str | os.PathLike | Sound], offsets: Sequence[float | None] | None, sounds: bool = False
) -> list[float | None]:
    """One offset a file, seconds; None, for one or all, is where the file's clip starts by itself.

    With `sounds`, a `Sound` may stand for a file.
    """
    if isinstance(audio_files, str | os.PathLike):
        raise TypeError(f"audio_files: expected a list of files, found one: [{str(audio_files)!r}]")
    check_files(audio_files, sounds=sounds)
    offsets = [None] * len(audio_files) if offsets is None else [at if at is None else float(at) for at in offsets]
    if len(offsets) != len(audio_files):
        raise ToolError(f"offsets: expected {len(audio_files)} numbers, found {len(offsets)}")
    if not all(offset is None or 0 <= offset < np.inf for offset in offsets):
        raise ToolError(f"offsets: expected at least 0 seconds, found {offsets}")
    return offsets


def check_files(audio_files: Any, sounds: bool = False) -> None:
    """Refuse, with a ToolError, what is no list of files, or with `sounds` of files and `Sound`s."""
    is_list = isinstance(audio_files, Iterable) and not isinstance(audio_files, np.ndarray)
    for item in audio_files if is_list else [audio_files]:
        if is_list and isinstance(item, (str, os.PathLike, Sound) if sounds else (str, os.PathLike)):
            continue
        if isinstance(item, Sound):
            raise ToolError(f"audio_files: expected a list of files, found {item}; write it first: sound.save(path)")
        what = f"an array of shape {item.shape}" if isinstance(item, np.ndarray) else f"{type(item).__name__} {item!r}"
        how = "vaelab.audio.Sound(samples, sample_rate)" if sounds else "vaelab.audio.write(path, samples, sample_rate)"
        raise ToolError(f"audio_files: expected a list of files, found {what}; samples are given by {how}")


def check_some(audio_files: Sequence[Any] | None) -> None:
    """Refuse an empty list of sounds, which would become a random sound: a folder without sounds gives one."""
    if audio_files is not None and not isinstance(audio_files, str | os.PathLike):
        check_files(audio_files)
    if audio_files is not None and not len(audio_files):
        raise ToolError("audio_files: expected at least one sound, found none; leave them out for a random sound")


def check_whole(name: str, value: Any, least: int) -> None:
    """Refuse, with a ToolError, what is no whole number from `least` on, or has more than 63 bits."""
    if not isinstance(value, int | np.integer) or not least <= value < 1 << 63:
        expected = f"at least {least}" if least > -(1 << 63) else "a whole number of at most 63 bits"
        raise ToolError(f"{name}: expected {expected}, found {value!r}")


def outputs(out_file: str | os.PathLike | None, count: int) -> list[Path]:
    """Files of `count` sounds: the path itself for one, NAME_1, NAME_2, ... for several; none without a path."""
    if out_file is None:
        return []
    path = files.from_home(out_file)
    if count == 1:
        return [path]
    return [path.with_name(f"{path.stem}_{number}{path.suffix}") for number in range(1, count + 1)]


def check_output(
    paths: Sequence[Path],
    bits: int,
    seconds: float | None,
    config: AudioConfig,
    sources: Sequence[Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Refuse what cannot be written, must not be replaced or is too long.

    Raises:
        AudioError: Unknown suffix, or bits that the format does not have.
        TakenError: A file that vaelab did not write, or a source.
        ToolError: A length that cannot be made.
    """
    try:
        for path in paths:
            audio.check_writable(path, bits, sources or (), overwrite=overwrite)
    except audio.TakenError as error:
        hint = "" if sources else "; sounds to mix are named in audio_files, after out_file"
        raise audio.TakenError(error.path, error.reason + hint) from error
    shortest, longest = config.n_fft / config.sample_rate, rendering.LONGEST_S
    if seconds is not None and not shortest <= seconds <= longest:
        raise ToolError(f"seconds: expected {shortest:.2g} to {longest:g}, found {seconds}; join longer ones")


def detail_of(detail: float | None, of_files: bool, seconds: float | None, lends: bool = False) -> float:
    """The amount of detail, 0 to 1; None is 1 in mixes of one clip, else 0.

    Args:
        detail: As asked for.
        of_files: Whether the sound is made from files.
        seconds: Its length, if it is not one clip.
        lends: Whether there is a library to borrow detail from.

    Raises:
        ToolError: No such amount, or no sounds whose detail it could be.
    """
    if detail is None:
        return DETAIL if of_files and seconds is None else 0.0
    if not (isinstance(detail, int | float) and 0 <= detail <= 1):
        raise ToolError(f"detail: expected a number from 0 to 1, found {detail!r}")
    if detail and seconds is not None:
        raise ToolError(f"detail: expected none with seconds, as only sounds of one clip have any, found {detail:g}")
    if detail and not (of_files or lends):
        raise ToolError(
            f"detail: expected none without audio_files, found {detail:g}; open the tool with library_dir=FOLDER, "
            "whose sounds lend theirs"
        )
    return float(detail)


def check_channels(channels: str, phase: bool, seconds: float | None = None) -> None:
    """Refuse channels that `audio.read` does not give, or that a sound cannot take from its sources.

    Args:
        channels: As asked for.
        phase: Whether the sound takes a phase from sources.
        seconds: Its length, if it is not one clip.

    Raises:
        ToolError: The channels do not fit.
    """
    if channels not in audio.CHANNELS:
        raise ToolError(f"channels: expected {' or '.join(audio.CHANNELS)}, found {channels!r}")
    if channels == "source" and (seconds is not None or not phase):
        raise ToolError(
            "channels: expected mono where no phase is taken from sources (with seconds or phase=False, or without "
            "detail for random sounds and for steps between sounds), found 'source'"
        )


def unfinished(model: Path) -> str:
    """Error text for a model whose training has not finished."""
    return (
        f"{model}: expected what the model remembers of its training, found none; the training did not end yet: run "
        "`vaelab train --logdir` on it again"
    )


def suggest_keywords(function: Callable) -> Callable:
    """Let the TypeError of a method's misspelt keyword suggest the one that was meant."""
    valid = list(inspect.signature(function).parameters)[1:]

    @functools.wraps(function)
    def suggesting(*arguments: Any, **keywords: Any) -> Any:
        for name in (name for name in keywords if name not in valid):
            close = difflib.get_close_matches(name, valid, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"valid keywords: {', '.join(valid)}"
            raise TypeError(f"{function.__name__}() got an unexpected keyword argument {name!r}; {hint}")
        return function(*arguments, **keywords)

    return suggesting
