"""Devices and hosts: eight simulated devices and two processes train the model that one device trains."""

import dataclasses
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from vaelab import training
from vaelab.config import Config, ConfigError, ModelConfig
from vaelab.models import devices

HOST = Path(__file__).parents[1] / "faults" / "hosts.py"
STEPS = 10


@pytest.fixture(scope="module")
def config(tiny):
    model = ModelConfig(latent_dim=4, components=6, depth=1, hidden=8, flow_steps=1, flow_hidden=4)
    return Config(tiny.audio, model, dataclasses.replace(tiny.train, shift_frames=2, free_bits=1.0))


@pytest.fixture(scope="module")
def alone(config, home, tmp_path_factory):
    """Training and held-out losses of one device (evaluations, 2)."""
    seen = []
    logdir = tmp_path_factory.mktemp("alone") / "m"
    training.train(
        logdir, "built in", config, seed=5, num_steps=STEPS, home=home, on_evaluation=seen.append, progress=False
    )
    return np.array([[metrics["train_loss"], metrics["loss"]] for metrics in seen[-1].history])


def host(config, home, logdir, count=1, join=None) -> subprocess.Popen:
    arguments = {"logdir": logdir, "dataset": "built in", "config": config.to_dict(), "seed": 5, "num_steps": STEPS}
    told = json.dumps({"arguments": {**arguments, "home": home}, "join": join}, default=str)
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={count}",
    }
    pipe = subprocess.PIPE
    return subprocess.Popen([sys.executable, HOST, told], stdout=pipe, stderr=pipe, text=True, env=environment)


def answer(process: subprocess.Popen) -> dict:
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return json.loads(out.splitlines()[-1])


def check_hosts(config, home, alone, logdir, hosts: int, devices_each: int) -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{found.getsockname()[1]}"
    joins = [[coordinator, hosts, number] if hosts > 1 else None for number in range(hosts)]
    answers = [answer(process) for process in [host(config, home, logdir, devices_each, join) for join in joins]]
    for told in answers:
        assert (told["hosts"], told["devices"]) == (hosts, hosts * devices_each)
    np.testing.assert_allclose(answers[0]["losses"], alone, rtol=1e-4)
    assert all(told["losses"] is None for told in answers[1:])  # the first one talks and writes
    assert (logdir / f"state-{STEPS:08d}.safetensors").exists()


def test_eight_devices_of_two_hosts_train_the_same_model(config, home, alone, tmp_path):
    check_hosts(config, home, alone, tmp_path / "m", hosts=2, devices_each=4)


@pytest.mark.slow
def test_eight_devices_train_the_same_model(config, home, alone, tmp_path):
    check_hosts(config, home, alone, tmp_path / "m", hosts=1, devices_each=8)


@pytest.mark.slow
def test_two_hosts_train_the_same_model(config, home, alone, tmp_path):
    check_hosts(config, home, alone, tmp_path / "m", hosts=2, devices_each=1)


def test_a_batch_that_cannot_be_split_is_refused(monkeypatch):
    monkeypatch.setattr(jax, "devices", lambda: [None] * 3)
    with pytest.raises(ConfigError, match=r"TrainConfig\.batch_size: expected a multiple of the 3 devices, found 16"):
        devices.mesh(16)


@pytest.mark.parametrize(
    ("hosts", "host", "message"),
    [("two", "0", "expected two whole numbers, found 'two' and '0'"), ("2", "2", "expected 0 to 1, found 2")],
)
def test_hosts_that_cannot_be_are_refused(hosts, host, message):
    with pytest.raises(ConfigError, match=message):
        devices.join("localhost:1", hosts, host)


def test_one_device_is_a_mesh_of_one():
    mesh = devices.mesh(7)
    tree = devices.place({"a": np.arange(14).reshape(7, 2)}, devices.split(mesh))
    assert devices.mesh_of(tree) == mesh
    assert devices.mesh_of({"a": np.zeros(2)}) is None
    assert devices.mesh_of({}) is None
    np.testing.assert_array_equal(devices.fetch(tree)["a"], np.arange(14).reshape(7, 2))
    key = jax.random.key(3)
    assert jax.random.normal(devices.place_key(key, mesh)) == jax.random.normal(key)
    assert devices.agree(3)
    assert not devices.any_host(False)
