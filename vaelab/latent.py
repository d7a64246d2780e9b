"""Play in latent space: weighted sums, noise, paths, and a flat map. Headless, and all on arrays (n, latent)."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np


class LatentError(ValueError):
    """Weights or a variance that cannot be used; the message says why and what to do."""


def mix(embeddings: np.ndarray, weights: Sequence[float] | None = None, normalize: bool = True) -> np.ndarray:
    """Weighted sum of embeddings.

    Args:
        embeddings: (n, latent).
        weights: n numbers, negative ones allowed; None is the mean.
        normalize: Divide by the signed sum, so that the result stays among the embeddings. False is plain
            vector arithmetic.

    Returns:
        (latent,).

    Raises:
        LatentError: The wrong number of weights, a weight that is not finite, or normalising by a sum near 0.
    """
    return normalized(len(embeddings), weights, normalize) @ np.asarray(embeddings)


def normalized(count: int, weights: Sequence[float] | None, normalize: bool = True) -> np.ndarray:
    """The weights that `mix` applies: float32 (count,).

    Raises:
        LatentError: As `mix`.
    """
    values = np.ones(count) if weights is None else np.asarray(weights, float)
    if values.shape != (count,):
        raise LatentError(f"weights: expected {count} numbers, one for each sound, found {list(weights)}")
    if not np.isfinite(values).all():
        raise LatentError(f"weights: expected finite numbers, found {values.tolist()}")
    if normalize or weights is None:
        total = values.sum()
        if abs(total) < 1e-6 * max(1.0, np.abs(values).max()):
            raise LatentError(
                f"weights: {values.tolist()} sum to {total:g} and cannot be normalised; change one of them, "
                "or use normalize_weights=False for plain vector arithmetic"
            )
        values = values / total
    return values.astype(np.float32)


def noise(key: jax.Array, shape: tuple[int, ...], variance: float) -> jax.Array:
    """Isotropic Gaussian noise of the given variance (not standard deviation).

    Raises:
        LatentError: The variance is negative or not finite.
    """
    if not (variance >= 0 and np.isfinite(variance)):
        raise LatentError(f"variance: expected a number of at least 0, found {variance}")
    return jnp.sqrt(jnp.float32(variance)) * jax.random.normal(key, shape)


def slerp(start: np.ndarray, end: np.ndarray, steps: int) -> np.ndarray:
    """Points on the great arc between two embeddings, lengths interpolated: (steps, latent), ends included.

    Equal or opposite directions have no single arc; there the straight line is taken.
    """
    start, end = np.asarray(start, float), np.asarray(end, float)
    t = np.linspace(0, 1, steps)[:, None]
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) < 1e-9:
        return ((1 - t) * start + t * end).astype(np.float32)
    cosine = np.clip(start @ end / (lengths[0] * lengths[1]), -1, 1)
    angle = np.arccos(cosine)
    if np.sin(angle) < 1e-4:
        return ((1 - t) * start + t * end).astype(np.float32)
    arc = np.sin((1 - t) * angle) * start / lengths[0] + np.sin(t * angle) * end / lengths[1]
    radius = (1 - t) * lengths[0] + t * lengths[1]
    return (radius * arc / np.sin(angle)).astype(np.float32)


def umap_map(embeddings: np.ndarray, seed: int = 0, neighbors: int = 15, min_dist: float = 0.1) -> np.ndarray:
    """Flat coordinates that keep neighbours together: (n, latent) -> (n, 2). The same seed, the same map.

    Needs the extra `vaelab[notebook]`.

    Raises:
        LatentError: Fewer than four embeddings, of which no map can be drawn.
    """
    if len(embeddings) < 4:
        raise LatentError(f"map: expected at least 4 sounds, found {len(embeddings)}")
    import umap

    reducer = umap.UMAP(
        n_neighbors=min(neighbors, len(embeddings) - 1),
        min_dist=min_dist,
        random_state=seed,
        n_jobs=1,
        init="spectral" if len(embeddings) > 10 else "random",
    )
    return reducer.fit_transform(np.asarray(embeddings, np.float32))
