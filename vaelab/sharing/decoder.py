"""The decoder as a page holds it: weights in half precision, axes in bytes, and the tables of the front end.

A page computes what `networks.Decoder`, `networks.Components`, `spectral` and `texture` do, in `static/decoder.js` and
the scripts beside it. It does so for dense layers and windows of a power of two; `obstacle` says what else a model has.
"""

from typing import Any

import numpy as np

from vaelab import spectral, texture
from vaelab.config import AudioConfig
from vaelab.model import Model
from vaelab.models import checkpoint

KINDS = {"float32": "<f4", "float16": "<f2", "int8": "i1", "uint8": "u1", "uint32": "<u4", "int32": "<i4"}
ALIGNED = 8  # bytes: where a typed array of a browser may begin


def obstacle(model: Model) -> str | None:
    """The reason, in words, why no page can run a model's decoder; None if one can."""
    n_fft = model.audio.n_fft
    if model.config.width:
        return "it has convolutions"
    if n_fft & (n_fft - 1):
        return f"its window of {n_fft} samples is no power of two"
    largest = max(np.abs(np.asarray(kernel)).max(initial=0) for kernel in _decoder(model).values())
    return None if largest <= np.finfo(np.float16).max else "half precision cannot hold its weights"


def arrays(model: Model) -> dict[str, np.ndarray]:
    """The decoder's weights by the names of `static/decoder.js`: kernels in half precision, axes in bytes."""
    decoder = _decoder(model)
    axes, scales = checkpoint.in_bytes(np.asarray(model.params["components"]["axes"]))
    places = {
        **{f"layer{layer}": f"Layers_0/Dense_{layer}" for layer in range(model.config.depth)},
        "learnt": "Dense_0",
        "straight": "Dense_1",
    }
    weights = {name: decoder[f"{place}/kernel"].astype(np.float16) for name, place in places.items()}
    biases = {f"{name}_bias": decoder[f"{place}/bias"] for name, place in places.items() if name != "straight"}
    components = model.params["components"]
    return {
        **weights,
        **biases,
        "axes": axes,
        "scales": scales.astype(np.float32),
        "spread": np.asarray(components["spread"]),
        "centre": np.asarray(components["centre"]).astype(np.float32),
    }


def front_end(config: AudioConfig) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The front end's numbers, and its filters: the first bin of each mel band, how many bins, and their weights."""
    filters = spectral.filterbank(config)
    bins = [np.flatnonzero(row) for row in filters]
    first = np.array([row[0] if len(row) else 0 for row in bins], np.int32)
    counts = np.array([row[-1] + 1 - row[0] if len(row) else 0 for row in bins], np.int32)
    weights = [row[start : start + count] for row, start, count in zip(filters, first, counts, strict=True)]
    numbers = {
        "rate": config.sample_rate,
        "samples": config.samples,
        "frames": config.frames,
        "window": config.n_fft,
        "hop": config.hop_length,
        "mels": config.n_mels,
        "topDb": config.top_db,
    }
    tables = {"first": first, "counts": counts, "filters": np.concatenate(weights).astype(np.float32)}
    return numbers, {**tables, "usual": texture.usual_share(config).astype(np.float32)}


def packed(arrays: dict[str, np.ndarray]) -> tuple[dict[str, Any], bytes]:
    """Arrays one after the other, and a table {name: [type, first byte, shape]}."""
    table, body = {}, bytearray()
    for name, array in arrays.items():
        body += bytes(-len(body) % ALIGNED)
        table[name] = [array.dtype.name, len(body), list(array.shape)]
        body += np.ascontiguousarray(array, KINDS[array.dtype.name]).tobytes()
    return table, bytes(body)


def _decoder(model: Model) -> dict[str, np.ndarray]:
    return {name: np.asarray(leaf, np.float32) for name, leaf in checkpoint.flatten(model.params["decoder"]).items()}
