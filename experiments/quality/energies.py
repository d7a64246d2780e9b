"""The flow on its own: IAF fitted to four energy functions of the plane, `python -m experiments.quality.energies`.

The densities p(z) = exp(-U(z)) / Z are those of Rezende and Mohamed 2015, "Variational inference with normalizing
flows", https://arxiv.org/abs/1505.05770, table 1. The flow minimises E_q[log q(z) + U(z)] = KL(q || p) - log Z; Z is
summed on a grid, so that the KL itself, in nats, can be told. No steps of flow is the best Gaussian with independent
entries. Pictures go to `energies.png`, numbers to `results/energies.json`.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.scipy.stats import norm

from experiments.common import commands, measures
from experiments.common.results import FOLDER
from vaelab.flows import IAF
from vaelab.ui.plots import Picture

COMMAND = "python -m experiments.quality.energies"

STEPS = (0, 2, 8)
BATCH, UPDATES, RATE, HIDDEN = 256, 4000, 3e-3, 64
TINY_UPDATES = 20
SIDE = np.linspace(-5, 5, 201)
COLUMNS = ["energy", "KL of a Gaussian", *[f"KL with {steps} steps" for steps in STEPS[1:]]]
TITLE = "IAF on the energies of Rezende and Mohamed"
NOTE = (
    "KL(q || p) in nats, lower is better. Even eight steps bend one connected cloud, so a bridge remains between modes "
    "far apart."
)


def wave(z: jax.Array) -> jax.Array:
    """w1 of the paper: (..., 2) -> (...)."""
    return jnp.sin(2 * jnp.pi * z[..., 0] / 4)


def two_moons(z: jax.Array) -> jax.Array:
    """U1."""
    ring = 0.5 * ((jnp.linalg.norm(z, axis=-1) - 2) / 0.4) ** 2
    return ring - jnp.logaddexp(-0.5 * ((z[..., 0] - 2) / 0.6) ** 2, -0.5 * ((z[..., 0] + 2) / 0.6) ** 2)


def band(z: jax.Array) -> jax.Array:
    """U2, with a wide Gaussian along the wave, without which it has no integral."""
    return 0.5 * ((z[..., 1] - wave(z)) / 0.4) ** 2 + 0.5 * (z[..., 0] / 2) ** 2


def split_band(z: jax.Array) -> jax.Array:
    """U3."""
    dip = 3 * jnp.exp(-0.5 * ((z[..., 0] - 1) / 0.6) ** 2)
    upper, lower = (z[..., 1] - wave(z)) / 0.35, (z[..., 1] - wave(z) + dip) / 0.35
    return -jnp.logaddexp(-0.5 * upper**2, -0.5 * lower**2) + 0.5 * (z[..., 0] / 2) ** 2


def stepped_band(z: jax.Array) -> jax.Array:
    """U4."""
    rise = 3 * jax.nn.sigmoid((z[..., 0] - 1) / 0.3)
    upper, lower = (z[..., 1] - wave(z)) / 0.4, (z[..., 1] - wave(z) + rise) / 0.35
    return -jnp.logaddexp(-0.5 * upper**2, -0.5 * lower**2) + 0.5 * (z[..., 0] / 2) ** 2


ENERGIES = {"two moons": two_moons, "band": band, "split band": split_band, "stepped band": stepped_band}


def sample(params: dict, steps: int, eps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Draws and their log density: eps (n, 2) -> z (n, 2), log q (n,)."""
    z0 = params["mean"][None] + jnp.exp(params["log_std"])[None] * eps
    context = jnp.ones((1, 1), eps.dtype)
    z, log_det = IAF(2, 1, steps, HIDDEN).apply({"params": params["flow"]}, z0, context)
    return z, (norm.logpdf(eps) - params["log_std"][None]).sum(axis=-1) - log_det


def fit(energy: Callable, steps: int, seed: int = 0, updates: int = UPDATES) -> tuple[dict, float]:
    """The flow's weights and E_q[log q + U] on fresh draws, nats."""
    key = jax.random.key(seed)
    flow = IAF(2, 1, steps, HIDDEN).init(key, jnp.zeros((1, 2)), jnp.ones((1, 1))).get("params", {})
    params = {"mean": jnp.zeros(2), "log_std": jnp.full(2, 0.5), "flow": flow}
    adam = optax.adam(optax.cosine_decay_schedule(RATE, updates))

    def loss(params: dict, key: jax.Array, draws: int) -> jax.Array:
        z, log_q = sample(params, steps, jax.random.normal(key, (draws, 2)))
        return (log_q + energy(z)).mean()

    @jax.jit
    def train(params, state):
        def update(carry, number):
            params, state = carry
            slope = jax.grad(loss)(params, jax.random.fold_in(key, number), BATCH)
            change, state = adam.update(slope, state, params)
            return (optax.apply_updates(params, change), state), None

        return jax.lax.scan(update, (params, state), jnp.arange(updates))[0][0]

    params = train(params, adam.init(params))
    return params, float(jax.jit(loss, static_argnums=2)(params, jax.random.fold_in(key, updates), 100_000))


def grid() -> np.ndarray:
    """Points of the plane, (n, 2)."""
    return np.stack(np.meshgrid(SIDE, SIDE), axis=-1).reshape(-1, 2).astype(np.float32)


def log_normaliser(energy: Callable) -> float:
    """log Z, by a sum over the grid."""
    mass = np.exp(-np.asarray(energy(grid()), float)).sum() * (SIDE[1] - SIDE[0]) ** 2
    return float(np.log(mass))


def draw(fitted: dict[str, dict[int, dict]]) -> Picture:
    """Each energy's density beside draws of what was fitted to it."""
    figure = Picture(figsize=(2.2 * (1 + len(STEPS)), 2.2 * len(ENERGIES)), layout="constrained")
    axes = figure.subplots(len(ENERGIES), 1 + len(STEPS), sharex=True, sharey=True)
    edges = np.linspace(-5, 5, 101)
    for row, (name, energy) in zip(axes, ENERGIES.items(), strict=True):
        density = np.exp(-np.asarray(energy(grid()))).reshape(len(SIDE), -1)
        row[0].imshow(density, origin="lower", extent=(-5, 5, -5, 5), cmap="magma")
        row[0].set_ylabel(f"{name}\nz2")
        for ax, (steps, params) in zip(row[1:], fitted[name].items(), strict=True):
            z, _ = sample(params, steps, jax.random.normal(jax.random.key(1), (40_000, 2)))
            counts = np.histogram2d(*np.asarray(z).T[::-1], bins=(edges, edges))[0]
            ax.imshow(counts, origin="lower", extent=(-5, 5, -5, 5), cmap="magma")
    for ax, title in zip(axes[0], ["density", "Gaussian", *[f"{k} steps" for k in STEPS[1:]]], strict=True):
        ax.set_title(title, fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("z1")
    return figure


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, print, draw, keep."""
    parser = commands.parser(COMMAND, __doc__, "a few updates for the first")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"of Adam (default {UPDATES})")
    options = parser.parse_args(arguments)
    updates = TINY_UPDATES if options.tiny else options.updates
    rows, fitted = [], {}
    for name, energy in list(ENERGIES.items())[: 1 if options.tiny else None]:
        fits = {steps: fit(energy, steps, updates=updates) for steps in STEPS}
        fitted[name] = {steps: params for steps, (params, _) in fits.items()}
        rows.append([name, *[round(bound + log_normaliser(energy), 3) for _, bound in fits.values()]])
        print("  ".join(str(cell) for cell in rows[-1]), flush=True)
    if not options.tiny:
        draw(fitted).savefig(FOLDER / "energies.png", dpi=70)
    name = None if options.tiny else "energies"
    measures.report(name, COMMAND, COLUMNS, rows, NOTE, TITLE, on_real_sounds=False)


if __name__ == "__main__":
    main()
