"""One file for a model or a training state: safetensors with everything needed to rebuild it in its header.

The header holds JSON (config, versions, step, metrics) and a sha256 over the whole file (`vaelab.tensorfile`). Loading
verifies the hash, builds a skeleton from the config and fills it by path. Nothing in such a file can run code.
"""

import json
import os
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np
import safetensors
from safetensors import numpy as st

import vaelab
from vaelab import VaelabError, files, tensorfile
from vaelab import model as models
from vaelab.config import AudioConfig, ConfigError, ModelConfig
from vaelab.models import devices

FORMAT = 1
HALF = "float16"  # of weights that are stored in half precision
AXES = "components/axes"  # of which such files hold bytes, and one scale for each axis and frame
SCALES = "components/scales"
BYTE = 127  # the largest of either sign
REFERENCE = "reference"  # how the names of tensors begin that are not the model's own


class CheckpointError(VaelabError):
    """A checkpoint that is missing, damaged, or does not fit; the message names the file and what differs."""


def save(path: str | os.PathLike, tree: Any, meta: dict[str, Any]) -> str:
    """Write a pytree of arrays and its JSON metadata, whole or not at all.

    Returns:
        The file's sha256 as kept in its header.
    """
    header = {"vaelab": json.dumps({"format": FORMAT, "versions": versions(), **meta}), "sha256": tensorfile.BLANK}
    tensors = {name: np.asarray(leaf, order="C") for name, leaf in flatten(devices.fetch(tree)).items()}
    body = bytearray(st.save(tensors, header))
    digest = tensorfile.seal(body)
    with files.replacing(path) as temporary:
        temporary.write_bytes(body)
    return digest


def load(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Read and verify a checkpoint.

    Returns:
        Tensors by path, and the metadata with the file's "sha256".

    Raises:
        CheckpointError: The file is missing, is not a checkpoint of this format, or was damaged.
    """
    try:
        body = Path(path).read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: expected a checkpoint, found none: {error}") from error
    try:
        tensors = st.load(body)
        header = tensorfile.header(body)[0]["__metadata__"]
        meta, digest = json.loads(header["vaelab"]), header["sha256"]
        tensorfile.verify(body, digest)
    except (safetensors.SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CheckpointError(f"{path}: expected a vaelab checkpoint, found something else: {error}") from error
    if meta.get("format") != FORMAT:
        raise CheckpointError(f"{path}: expected format {FORMAT}, found {meta.get('format')}; update vaelab")
    return tensors, {**meta, "sha256": digest}


def save_model(
    path: str | os.PathLike,
    model: models.Model,
    meta: dict[str, Any],
    reference: dict[str, np.ndarray] | None = None,
    half: bool = False,
) -> str:
    """Write a model with its config, `meta`, and what `vaelab.models.familiarity` measured.

    Args:
        path: Where to.
        model: The model.
        meta: What else the file says.
        reference: Arrays of `vaelab.models.familiarity`.
        half: Store weights in half precision and the components' axes in bytes: a third of the size, for models to be
            handed on. They are read back as float32; training cannot go on from them.

    Returns:
        The file's sha256.

    Raises:
        CheckpointError: A weight that half precision cannot hold.
    """
    config = {"model": model.config.to_dict(), "audio": model.audio.to_dict()}
    beside = {} if reference is None else {REFERENCE: reference}
    params = _halved(flatten(model.params), path) if half else model.params
    stored = {"stored": HALF} if half else {}
    return save(path, {**params, **beside}, {**meta, **config, **stored, "kind": "model"})


def load_model(path: str | os.PathLike) -> tuple[models.Model, dict[str, Any]]:
    """Read a model and its metadata; its "reference" holds the arrays of `vaelab.models.familiarity`, or none.

    Raises:
        CheckpointError: As `load`, or the tensors do not fit the config in the header.
    """
    tensors, meta = load(path)
    if meta.get("kind") != "model":
        raise CheckpointError(f"{path}: expected a model, found a {meta.get('kind')}")
    try:
        config = ModelConfig.of_file(meta["model"])
        audio = AudioConfig.from_dict(meta["audio"])
    except (ConfigError, KeyError) as error:
        raise CheckpointError(f"{path}: its config does not fit this version of vaelab: {error}") from error
    skeleton = jax.eval_shape(lambda key: models.create(config, audio, key), jax.random.key(0))
    weights, beside = split(tensors)
    if meta.get("stored") == HALF:
        weights = _doubled(weights)
    return models.Model(fill(skeleton.params, weights, path), config, audio), {**meta, REFERENCE: beside}


def _halved(weights: dict[str, Any], path: str | os.PathLike) -> dict[str, np.ndarray]:
    weights = {name: np.asarray(leaf) for name, leaf in weights.items()}
    largest = np.max([np.abs(array).max(initial=0) for array in weights.values()])
    if not largest <= np.finfo(HALF).max:
        raise CheckpointError(
            f"{path}: expected weights up to {np.finfo(HALF).max} for half precision, found {largest}"
        )
    axes = weights.pop(AXES, None)
    halves = {name: array.astype(HALF) for name, array in weights.items()}
    return halves if axes is None else {**halves, **dict(zip((AXES, SCALES), in_bytes(axes), strict=True))}


def _doubled(weights: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    floats = {name: array.astype(np.float32) if array.dtype == HALF else array for name, array in weights.items()}
    scales = floats.pop(SCALES, None)  # files of before have none: their axes are in half precision
    return floats if scales is None else {**floats, AXES: floats[AXES] * scales[..., None]}


def in_bytes(axes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Axes (components, frames, mels) as int8, and the scales (components, frames) of these bytes."""
    scales = np.abs(axes).max(axis=-1) / BYTE
    steps = np.divide(axes, scales[..., None], out=np.zeros_like(axes), where=scales[..., None] > 0)
    return np.clip(np.round(steps), -BYTE, BYTE).astype(np.int8), scales


def split(tensors: dict[str, np.ndarray]) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """The tensors of a model, and what is kept beside them, the latter by its own names."""
    start = f"{REFERENCE}/"
    weights = {name: array for name, array in tensors.items() if not name.startswith(start)}
    return weights, {name.removeprefix(start): array for name, array in tensors.items() if name.startswith(start)}


def flatten(tree: Any) -> dict[str, Any]:
    """The leaves of a pytree by path, as in "encoder/Conv_0/kernel"."""
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return {jax.tree_util.keystr(path, simple=True, separator="/"): leaf for path, leaf in leaves}


def fill(skeleton: Any, tensors: dict[str, np.ndarray], path: str | os.PathLike) -> Any:
    """The skeleton with each leaf replaced by the tensor of the same path.

    Raises:
        CheckpointError: A tensor is missing, left over, or has another shape or dtype.
    """
    wanted = flatten(skeleton)
    if missing := sorted(set(wanted) - set(tensors)):
        raise CheckpointError(f"{path}: lacks {len(missing)} tensors, first {missing[0]!r}")
    if extra := sorted(set(tensors) - set(wanted)):
        raise CheckpointError(f"{path}: has {len(extra)} unknown tensors, first {extra[0]!r}")
    for name, leaf in wanted.items():
        tensor = tensors[name]
        if tensor.shape != leaf.shape or tensor.dtype != leaf.dtype:
            raise CheckpointError(
                f"{path}: {name}: expected shape {leaf.shape} {leaf.dtype}, found {tensor.shape} {tensor.dtype}"
            )
    leaves = jax.device_put([tensors[name] for name in wanted])  # in one call: many cost a quarter of a second
    return jax.tree.unflatten(jax.tree.structure(skeleton), leaves)


def versions() -> dict[str, str]:
    """Versions of what decides a number."""
    return {
        "vaelab": vaelab.__version__,
        **{name: version(name) for name in ("jax", "flax", "optax", "numpy")},
    }
