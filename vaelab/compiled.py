"""What JAX compiles, kept for the next kernel: a notebook's first sound then comes in seconds."""

import os
import platform
from pathlib import Path

import jax

SHORTEST_S = 0.1  # compiled faster than this is not worth a file


def keep(folder: str | os.PathLike | None = None) -> Path:
    """Keep compiled functions in a folder that only this user may open; they are machine code.

    Args:
        folder: None is `JAX_COMPILATION_CACHE_DIR`, or else `vaelab/compiled-HOST` in the user's cache
            (`XDG_CACHE_HOME`): hosts that share a home may have different processors.

    Returns:
        The folder.

    Raises:
        OSError: The folder cannot be made, or belongs to someone else.
    """
    given = folder or os.environ.get("JAX_COMPILATION_CACHE_DIR")
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    path = Path(given) if given else cache / "vaelab" / f"compiled-{platform.node()}"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    path.chmod(0o700)  # fails where the folder is another user's
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_S)
    return path
