"""Model lookup: files, logdirs, and the models that ship with the package."""

import os
from pathlib import Path

from vaelab import files
from vaelab.models import checkpoint

FOLDER = Path(__file__).parents[1] / "pretrained"
RENAMED = {"drum_machines": "drum_kits"}  # SampleVAE's name, which recipes of before have too


def find(model: str | os.PathLike) -> Path:
    """The file of a model given as a file, a logdir, or the name of a shipped model; an existing path wins.

    Raises:
        CheckpointError: None of these exists.
    """
    path = files.from_home(model)
    places = [path, path / "best.safetensors", _place(path.name.removeprefix("model_"))]
    for place in places:
        if place.is_file():
            return place
    shipped = sorted(place.stem for place in FOLDER.glob("*.safetensors"))
    raise checkpoint.CheckpointError(
        f"no model {str(model)!r}: looked for the file {path}, for {places[1]}, and among the shipped models "
        f"({', '.join(shipped) or 'none'}); train one with `vaelab train --logdir {path}`"
    )


def name_of(path: Path) -> str | None:
    """The name of a shipped model's file; None for any other."""
    return path.stem if path.parent == FOLDER else None


def of_recipe(model: dict[str, str]) -> Path:
    """The file of the model that a recipe names, with full paths: a shipped one, or where it was.

    Raises:
        CheckpointError: It is at neither place.
    """
    name = model.get("name")
    if isinstance(name, str) and _place(name).is_file():
        return _place(name)
    if not Path(model["path"]).is_file():
        raise checkpoint.CheckpointError(
            f"{model['path']!r}: expected the model that made the sound, found none; name it with model="
        )
    return Path(model["path"])


def _place(name: str) -> Path:
    name = Path(name).name
    return FOLDER / f"{RENAMED.get(name, name)}.safetensors"
