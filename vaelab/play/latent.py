"""Play in latent space: weighted sums, noise, paths, walks, refinement. Headless; arrays are (n, latent)."""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from vaelab import VaelabError
from vaelab.model import Model


class LatentError(VaelabError, ValueError):
    """Weights or a variance that cannot be used; the message says why and what to do."""


def numbers(weights: Sequence[float] | None) -> list[float] | None:
    """Weights as plain numbers.

    Raises:
        LatentError: They are no list of numbers.
    """
    try:
        if isinstance(weights, str):
            raise TypeError
        return None if weights is None else [float(weight) for weight in weights]
    except (TypeError, ValueError) as error:
        raise LatentError(
            f"weights: expected a list of numbers, one for each sound, found {weights!r}; write [1, 2]"
        ) from error


def normalized(count: int, weights: Sequence[float] | None, normalize: bool = True) -> np.ndarray:
    """The shares of embeddings in their weighted sum: float32 (count,).

    Args:
        count: How many embeddings.
        weights: `count` numbers, negative ones allowed; None is the mean.
        normalize: Divide by the signed sum, so that the result stays among the embeddings. False is plain
            vector arithmetic.

    Raises:
        LatentError: The wrong number of weights, a weight that is not finite, or normalising by a sum near 0.
    """
    weights = numbers(weights)
    values = np.ones(count) if weights is None else np.asarray(weights, float)
    if values.shape != (count,):
        raise LatentError(f"weights: expected {count} numbers, one for each sound, found {weights}")
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
    return _arc(np.asarray(start, float), np.asarray(end, float), np.linspace(0, 1, steps)).astype(np.float32)


def path(points: np.ndarray, steps: int, *, straight: bool = False) -> np.ndarray:
    """Equal steps through several points in turn, on great arcs or straight lines.

    Args:
        points: (n, latent), n at least 2.
        steps: How many points to give, at least 2. All of `points` are among them if steps - 1 is a multiple of
            n - 1; the ends always are.
        straight: Lines instead of arcs.

    Returns:
        float32 (steps, latent).

    Raises:
        LatentError: Fewer than two points or steps.
    """
    points = np.asarray(points, float)
    if points.ndim != 2 or len(points) < 2:
        raise LatentError(f"path: expected at least 2 points (n, latent), found shape {points.shape}")
    if steps < 2:
        raise LatentError(f"path: expected at least 2 steps, found {steps}")
    place = np.linspace(0, len(points) - 1, steps)
    leg = np.minimum(place.astype(int), len(points) - 2)
    between = _line if straight else _arc
    legs = [between(points[i], points[i + 1], place[leg == i] - i) for i in range(len(points) - 1)]
    return np.concatenate(legs).astype(np.float32)


def weights_along(count: int, steps: int) -> list[list[float]]:
    """Weights of `count` points at each step of a `path` through them: those of the two that the step lies between."""
    places = np.linspace(0, count - 1, steps)
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count)[None])).tolist()


def walk(key: jax.Array, start: np.ndarray, steps: int, size: float) -> np.ndarray:
    """A random walk from a point (latent,): float32 (steps, latent), the start first.

    Each step is z <- sqrt(1 - size^2) z + size eps, eps ~ N(0, I), which leaves the prior as it is: a long walk visits
    usual points only.

    Raises:
        LatentError: The size is not from 0 to 1, or there is no step.
    """
    if not 0 <= size <= 1:
        raise LatentError(f"walk: expected a step size from 0 to 1, found {size}")
    if steps < 1:
        raise LatentError(f"walk: expected at least 1 step, found {steps}")
    points = [np.asarray(start, np.float32)]
    for eps in np.asarray(jax.random.normal(key, (steps - 1, len(points[0])))):
        points.append(np.sqrt(np.float32(1 - size**2)) * points[-1] + np.float32(size) * eps)
    return np.stack(points)


@partial(jax.jit, static_argnames="steps")
def refine(model: Model, features: jax.Array, z: jax.Array, steps: int, rate: float = 0.05) -> tuple[jax.Array, ...]:
    """Latents whose decoding is closer to features, by gradient steps (Adam) on the mean absolute error.

    Args:
        model: Decodes.
        features: (batch, frames, mels) in [0, 1].
        z: Where to start, (batch, latent), as from `model.encode`.
        steps: How many.
        rate: Of the first steps; it falls linearly to 0.

    Returns:
        The best latents met (batch, latent), never worse than `z`, and the mean error of features in [0, 1] before
        and after (batch,) each.
    """
    import optax  # here alone, as most sounds are not refined

    optimizer = optax.adam(optax.linear_schedule(rate, 0, max(steps, 1)), b2=0.99)

    def errors(z):
        return jnp.abs(model.decode(z) - features).mean(axis=(1, 2))

    def step(state, _):
        z, adam, best, least = state
        error, pullback = jax.vjp(errors, z)
        updates, adam = optimizer.update(*pullback(jnp.ones_like(error)), adam)
        return (z + updates, adam, *better(z, error, best, least)), None

    def better(z, error, best, least):
        lower = error < least
        return jnp.where(lower[:, None], z, best), jnp.where(lower, error, least)

    before = errors(z)
    (last, _, best, least), _ = jax.lax.scan(step, (z, optimizer.init(z), z, before), length=steps)
    best, after = better(last, errors(last), best, least)
    return best, before, after


def _line(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Points at shares (n,) of the way from start to end (latent,): (n, latent)."""
    return (1 - share)[:, None] * start + share[:, None] * end


def _arc(start: np.ndarray, end: np.ndarray, share: np.ndarray) -> np.ndarray:
    """As `_line`, on the great arc where there is one."""
    lengths = np.linalg.norm(start), np.linalg.norm(end)
    if min(lengths) < 1e-9:
        return _line(start, end, share)
    angle = np.arccos(np.clip(start @ end / (lengths[0] * lengths[1]), -1, 1))
    if np.sin(angle) < 1e-4:
        return _line(start, end, share)
    t = share[:, None]
    arc = np.sin((1 - t) * angle) * start / lengths[0] + np.sin(t * angle) * end / lengths[1]
    return ((1 - t) * lengths[0] + t * lengths[1]) * arc / np.sin(angle)
