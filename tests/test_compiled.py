"""A second process finds what the first compiled, in a folder of this user alone."""

import os
import stat
import subprocess
import sys

PROGRAM = """
import jax
from vaelab import compiled
compiled.SHORTEST_S = 0.0
print(compiled.keep())
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
jax.jit(lambda x: (x @ x + 1).sum())(jax.numpy.ones((7, 7))).block_until_ready()
print(sum(name.endswith("cache_hits") for name in hits))
"""


def run(tmp_path):
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path)}
    environment.pop("JAX_COMPILATION_CACHE_DIR", None)
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True
    )
    folder, hits = finished.stdout.split("\n")[:2]
    return folder, int(hits)


def test_a_second_process_compiles_nothing_again(tmp_path):
    folder, hits = run(tmp_path)
    assert folder.startswith(str(tmp_path / "vaelab"))
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o700
    assert hits == 0
    assert os.listdir(folder)
    assert run(tmp_path)[1] > 0
