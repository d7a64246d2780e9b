"""Placement of arrays: one mesh over all devices of all hosts, batches split over it, everything else replicated.

One device is a mesh of one, so that there is one way of training. Several hosts call `join` first; each then
holds the whole dataset, computes the same order, and works on its part of each batch.
"""

import os
import platform
import stat
from contextlib import suppress
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from vaelab.config import ConfigError

AXIS = "batch"
SHORTEST_S = 0.1  # a function compiled faster than this is not worth a file


def join(coordinator: str, hosts: int | str, host: int | str) -> None:
    """Make this process one of several that train one model; call it before anything else touches JAX.

    Args:
        coordinator: "address:port" of host 0, which all can reach.
        hosts: How many there are.
        host: Which of them this is, from 0.

    Raises:
        ConfigError: The numbers do not fit, or the others could not be met.
    """
    try:
        count, number = int(hosts), int(host)
    except ValueError as error:
        raise ConfigError(f"hosts: expected two whole numbers, found {hosts!r} and {host!r}") from error
    if not 0 <= number < count:
        raise ConfigError(f"host: expected 0 to {count - 1}, found {number}")
    try:
        jax.distributed.initialize(coordinator, count, number)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(f"hosts: expected to meet {count} at {coordinator}, found trouble: {error}") from error


def check_precision() -> None:
    """Refuse JAX's switch to double precision, under which the same seed gives other sounds.

    Raises:
        ConfigError: It is on.
    """
    if jax.config.jax_enable_x64:
        raise ConfigError(
            "JAX_ENABLE_X64: expected off, as models compute in single precision, found on; unset it, or call "
            'jax.config.update("jax_enable_x64", False) first. The vaelab command does so itself'
        )


def is_first() -> bool:
    """True in the one process that writes files and prints."""
    return jax.process_index() == 0


def mesh(batch_size: int) -> Mesh:
    """All devices of all hosts in a row.

    Raises:
        ConfigError: A batch cannot be split evenly over them.
    """
    devices = jax.devices()
    if batch_size % len(devices):
        raise ConfigError(
            f"TrainConfig.batch_size: expected a multiple of the {len(devices)} devices, found {batch_size}; change "
            "it, or hide some devices from JAX"
        )
    return Mesh(np.array(devices), (AXIS,))


def everywhere(mesh: Mesh) -> NamedSharding:
    """The whole array on each device."""
    return NamedSharding(mesh, PartitionSpec())


def split(mesh: Mesh, axis: int = 0) -> NamedSharding:
    """The batch's axis in equal parts, one on each device."""
    return NamedSharding(mesh, PartitionSpec(*[None] * axis, AXIS))


def place(tree: Any, sharding: NamedSharding) -> Any:
    """Put host arrays, the same on every host, on the devices."""
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)
    return jax.tree.map(lambda leaf: _place_part(np.asarray(leaf), sharding), tree)


def place_key(key: jax.Array, mesh: Mesh) -> jax.Array:
    """A random key on every device."""
    data = place(np.asarray(jax.random.key_data(key)), everywhere(mesh))
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(key))


def fetch(tree: Any) -> Any:
    """The arrays on this host, whole, wherever their parts are; all hosts must ask."""
    return jax.device_get(tree) if jax.process_count() == 1 else jax.tree.map(_whole, tree)


def mesh_of(tree: Any) -> Mesh | None:
    """The mesh that a tree's arrays were placed on, or None if they were not."""
    leaves = jax.tree.leaves(tree)
    sharding = getattr(leaves[0], "sharding", None) if leaves else None
    return sharding.mesh if isinstance(sharding, NamedSharding) else None


def any_host(flag: bool) -> bool:
    """True if the flag is set on any host; a collective call."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array([flag])).any())


def agree(number: int) -> bool:
    """True if all hosts have the same number; a collective call."""
    if jax.process_count() == 1:
        return True
    return len(np.unique(multihost_utils.process_allgather(np.array([number])))) == 1


def wait_for_all(name: str) -> None:
    """Return once all hosts have come here."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def _place_part(array: np.ndarray, sharding: NamedSharding) -> jax.Array:
    return jax.make_array_from_callback(array.shape, sharding, lambda index: array[index])


def _whole(leaf: Any) -> np.ndarray:
    if not isinstance(leaf, jax.Array) or leaf.is_fully_addressable:
        return np.asarray(leaf)
    if leaf.is_fully_replicated:
        return np.asarray(leaf.addressable_data(0))
    return np.asarray(multihost_utils.process_allgather(leaf, tiled=True))


def cache_where_possible() -> None:
    """`cache_compilations`, unless the user has no home, or one that cannot be written or be private."""
    with suppress(OSError, RuntimeError):
        cache_compilations()


def cache_compilations(folder: str | os.PathLike | None = None) -> Path:
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
    if stat.S_IMODE(path.stat().st_mode) != 0o700 or not os.access(path, os.W_OK):
        path.chmod(0o700)  # fails where the folder is another user's, or where rights are those of the file system
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", SHORTEST_S)
    return path
