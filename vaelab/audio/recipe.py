"""Recipes: everything that made a sound, as the JSON that its file carries."""

import os
from collections.abc import Callable
from typing import Any


class Recipe(dict[str, Any]):
    """Everything that made a sound: a dict of plain JSON values, in the order in which they are written.

    Keys, those of the settings of the call besides:
        format, versions: 1, and the versions of vaelab and of the libraries that it computes with.
        call: "generate", "interpolate", "decode", "transcode", "slice" or "read".
        sources: Files or stretches of tapes, each with "path", "sha256", "start" and "seconds"; "tapes" are the
            stretches that a file comes from, with "timecode" and "metadata" too.
        model: "path", "sha256", and "name", which only a shipped model has.
        trained_on: The tapes that the model learned from.
        index: Of the sound among those that the call made.
        latent, level_db: Of a sound of one clip.
        points, seconds: Of a longer one.
    """

    def relative_to(self, folder: str | os.PathLike) -> "Recipe":
        """The recipe with the full paths of its sources, their tapes and its model as seen from a folder."""
        here = os.path.realpath(folder)
        return self._with_paths(lambda path: os.path.relpath(path, here) if os.path.isabs(path) else path)

    def absolute(self, folder: str | os.PathLike) -> "Recipe":
        """The recipe with full paths, those in it being as seen from a folder."""
        here = os.path.realpath(folder)
        return self._with_paths(lambda path: os.path.normpath(os.path.join(here, path)))

    def _with_paths(self, change: Callable[[str], str]) -> "Recipe":
        """Change every path; parts that are no such parts stay as they are, for a reader to refuse."""

        def changed(part: Any) -> Any:
            if isinstance(part, list):
                return [changed(item) for item in part]
            if not isinstance(part, dict):
                return part
            changes = {"path": change(part["path"])} if isinstance(part.get("path"), str) else {}
            return {**part, **changes, **({"tapes": changed(part["tapes"])} if "tapes" in part else {})}

        return Recipe(self, **{key: changed(self[key]) for key in ("sources", "model") if key in self})
