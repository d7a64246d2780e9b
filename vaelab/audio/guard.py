"""Guard of a person's recordings: sounds are written to free names, or replace what vaelab wrote and nothing uses."""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from vaelab import files
from vaelab.audio.reading import AudioError
from vaelab.audio.recipe import is_ours

ADVICE = "nothing was written: choose another name, or replace it on purpose (overwrite=True, --overwrite)"


class TakenError(AudioError, FileExistsError):
    """A name that a sound cannot be written to, since the file there is not vaelab's, or is in use as a source."""


def check_replaceable(path: str | os.PathLike, sources: Iterable[Any] = (), *, overwrite: bool = False) -> None:
    """Refuse to replace a file that carries no recipe of vaelab's, or that is a source of the new sound.

    Args:
        path: Where a sound is to be written.
        sources: Of the sound. Links to a source count as the source; what is no path is passed over.
        overwrite: Replace the file all the same. Folders and special files never are.

    Raises:
        TakenError: The file there must stay.
    """
    path = files.from_home(path)
    if not os.path.lexists(path):
        return
    if not overwrite and any(_same(path, source) for source in sources):
        raise TakenError(path, f"expected a name that no source of the sound has, found one of its sources; {ADVICE}")
    try:
        ours = is_ours(path)
    except AudioError as error:
        if not (overwrite and path.is_file()):
            raise TakenError(path, f"expected a free name, found what cannot be replaced ({error.reason})") from error
        return
    if not (ours or overwrite):
        raise TakenError(
            path, f"expected a free name or a sound that vaelab wrote, found a file without its recipe; {ADVICE}"
        )


def check_free(path: str | os.PathLike, *, overwrite: bool = False) -> None:
    """Refuse, with a TakenError, to replace any file: one, such as a picture or a table, that carries no recipe."""
    if os.path.lexists(path := files.from_home(path)) and not overwrite:
        raise TakenError(path, f"expected a free name, found a file; {ADVICE}")


def sources_of(recipe: Mapping[str, Any]) -> Iterator[str]:
    """The paths of a recipe's sources and of the tapes that these come from; malformed parts are passed over."""
    sources = recipe.get("sources")
    for part in sources if isinstance(sources, list) else ():
        if isinstance(part, dict):
            yield from (part["path"],) if isinstance(part.get("path"), str) else ()
            yield from sources_of({"sources": part.get("tapes")})


def _same(path: Path, source: Any) -> bool:
    if not isinstance(source, str | os.PathLike):
        return False
    try:
        return os.path.samefile(path, files.from_home(source))
    except (OSError, ValueError):  # one of them is not there
        return os.path.abspath(path) == os.path.abspath(os.fsdecode(source))
