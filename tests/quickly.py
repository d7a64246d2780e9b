"""Compiling is most of what tiny models cost: tests, and the processes that they start, do with less of it.

Notebooks, the browser's kernels and what measures speed run as users do, with all optimisations: `as_users()`.
"""

import os

import jax

WISHES = {
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
    "XLA_FLAGS": "--xla_cpu_use_fusion_emitters=false",
    "OMP_NUM_THREADS": "1",  # these two are in conftest.py too, which must set them before numpy is imported
    "OPENBLAS_NUM_THREADS": "1",
}
_before = {name: os.environ[name] for name, wish in WISHES.items() if os.environ.get(name, wish) != wish}


def wish() -> None:
    """Ask for it here, before anything is compiled, and in the environment of processes to come."""
    os.environ |= {**WISHES, "XLA_FLAGS": f"{WISHES['XLA_FLAGS']} {_before.get('XLA_FLAGS', '')}".strip()}
    jax.config.update("jax_disable_most_optimizations", True)


def as_users() -> dict[str, str]:
    """The environment without these wishes."""
    return {name: value for name, value in os.environ.items() if name not in WISHES} | _before
