"""A second process finds what the first compiled, in a folder of this user alone."""

import os
import stat
import subprocess
import sys

import jax
import pytest
import quickly

from vaelab import model
from vaelab.config import Config
from vaelab.models import checkpoint

PROGRAM = """
import jax
from vaelab.models import devices
devices.SHORTEST_S = 0.0
print(devices.cache_compilations())
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


FIRST_SOUND = """
import time
begin = time.perf_counter()
from vaelab import workspace
from vaelab import SoundSampleTool
from vaelab.widgets import Mixer, Table, short_name
from vaelab.models import devices
import sys
devices.cache_compilations()
imported = time.perf_counter()
tool = SoundSampleTool(sys.argv[1])
opened = time.perf_counter()
mixer = Mixer(tool, sys.argv[2:])
mixer.worker.wait()
assert mixer.sound is not None, mixer.status.value
print(opened - imported, time.perf_counter() - begin)
"""


@pytest.mark.slow
def test_the_first_sound_comes_soon(tmp_path, sounds):
    """In the second kernel, at 44.1 kHz with the default knobs; what the model's weights are does not matter here."""
    knobs = Config()
    fresh = model.create(knobs.model, knobs.audio, jax.random.key(0))
    checkpoint.save_model(tmp_path / "fresh.safetensors", fresh, {})
    files = [str(sounds / kind / f"{kind}_0001.wav") for kind in ("kick", "metal", "drone")]
    environment = {**quickly.as_users(), "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled")}
    command = [sys.executable, "-c", FIRST_SOUND, str(tmp_path / "fresh.safetensors"), *files]
    for _ in range(2):
        finished = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    opening, all_of_it = map(float, finished.stdout.split())
    print(f"opening a model {opening:.2f} s, first sound after {all_of_it:.2f} s")
    assert opening <= 2
    assert all_of_it <= 10
