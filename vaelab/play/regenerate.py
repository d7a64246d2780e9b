"""A written sound again, from its recipe."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vaelab import files
from vaelab.audio import Recipe, Sound
from vaelab.models import pretrained
from vaelab.play import detail, latent, provenance, rendering, transcode
from vaelab.play.provenance import ProvenanceError
from vaelab.play.tool import SoundSampleTool
from vaelab.text import printable


def regenerate(
    path: str | os.PathLike,
    model: str | os.PathLike | SoundSampleTool | None = None,
    *,
    phase: bool | None = None,
    library_dir: str | os.PathLike | None = None,
) -> Sound:
    """Make the sound of a written file again, from its recipe: bit by bit the same on the same machine.

    A source that was moved or renamed is searched by its content: in the tool's library, below the file's folder and
    below `library_dir`. A warning says where it was.

    Args:
        path: A sound that `generate`, `interpolate` or `transcode` wrote.
        model: Its model, or a tool that has it open; None looks among the shipped ones, then where the model was as
            seen from the file.
        phase: False leaves out the sources' phase, detail and channels, so that they need not be there; None is as
            recorded. Transcodings always need theirs.
        library_dir: Another folder where moved sources may be.

    Raises:
        AudioError: The file is missing or has no recipe.
        CheckpointError: No such model.
        ProvenanceError: Another model, a source that is missing or has changed, or a damaged recipe.
    """
    recipe = provenance.read(path)
    tool = model
    if not isinstance(tool, SoundSampleTool):
        tool = SoundSampleTool(model or pretrained.of_recipe(recipe["model"]))
    if (sha256 := tool.meta["sha256"]) != recipe["model"]["sha256"]:
        raise ProvenanceError(
            f"{printable(tool.path)}: expected the model {recipe['model']['sha256'][:12]} that made the sound, found "
            f"{sha256[:12]}; name the right one with model="
        )
    if changed := provenance.other_versions(recipe):
        warnings.warn(f"{printable(path)}: made with {changed}; its last bits may differ", stacklevel=2)
    if recipe.get("call") == "transcode" and phase is False:
        raise ProvenanceError(f"{printable(path)}: expected phase=None for a transcoding, which is made of its sources")
    if phase is not None:
        recipe |= {"phase": phase} if phase else {"phase": False, "detail": 0.0, "channels": "mono"}
    folders = [files.from_home(path).parent, *([files.from_home(library_dir)] if library_dir is not None else [])]
    try:
        return _follow(recipe, tool, folders)
    except (KeyError, IndexError, ValueError, TypeError) as error:
        raise ProvenanceError(f"{printable(path)}: expected a whole recipe, found one with {error}") from error


def _follow(recipe: Recipe, tool: SoundSampleTool, folders: Sequence[Path]) -> Sound:
    def located() -> Recipe:
        return provenance.located(recipe, folders, tool.library.having if tool.library is not None else None)

    if "played" in recipe:
        recipe = located()
        provenance.check_sources(recipe["sources"])
        return transcode.follow(tool, recipe)
    if "points" in recipe:
        points = tool.checked_latents(np.asarray(recipe["points"], np.float32))
        return rendering.long_sound(tool.model, recipe, points, recipe["seconds"])
    details, amount = None, recipe.get("detail", 0.0)  # recipes of before had none
    if (recipe["phase"] or amount) and recipe["sources"]:
        recipe = located()
        clips = provenance.clips(recipe["sources"], tool.model.audio)
        shares = latent.normalized(len(clips), recipe["weights"], recipe["normalize_weights"])
        residuals = tool.sources.measure(clips, recipe.get("refine", 0)).residuals
        stereo = provenance.stereo(recipe, tool.model.audio)
        details = detail.of_sources(clips, shares, residuals, amount, tool.model.audio, recipe["phase"], stereo)
    (z,) = tool.checked_latents(recipe["latent"])
    return rendering.sound(tool.model, recipe, z, recipe["level_db"], details)
