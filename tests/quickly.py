"""Compiling is most of what tiny models cost: tests, and the processes that they start, do with less of it.

Notebooks, the browser's kernels and what measures speed run as users do, with all optimisations: `as_users()`.
"""

import os

import jax

# XLA's fusion emitters take twice the time to compile a training step. XLA names a flag that it no longer knows.
WISHES = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false"}
_before = dict(os.environ)


def wish() -> None:
    """Ask for it before JAX has used a device: here, and in the environment of processes started from here."""
    os.environ |= WISHES | {"XLA_FLAGS": f"{WISHES['XLA_FLAGS']} {_before.get('XLA_FLAGS', '')}".strip()}
    jax.config.update("jax_disable_most_optimizations", True)


def as_users() -> dict[str, str]:
    """The environment without these wishes."""
    return {name: value for name, value in os.environ.items() if name not in WISHES} | {
        name: _before[name] for name in WISHES if name in _before
    }
