"""Shared by all tests: strict JAX, tiny configs, a folder of built-in sounds."""

import os

os.environ.setdefault("TQDM_DISABLE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers of xdist share the cores: threads only wait for turns
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import jax
import pytest
import quickly

from vaelab import data
from vaelab.audio import synth
from vaelab.config import AudioConfig, Config, ModelConfig, TrainConfig
from vaelab.models import devices

jax.config.update("jax_numpy_rank_promotion", "raise")
quickly.wish()

TINY_AUDIO = AudioConfig(sample_rate=8000, clip_seconds=0.5, n_fft=256, hop_length=128, n_mels=24)
TINY_MODEL = ModelConfig(latent_dim=8, components=16, depth=1, hidden=24, flow_steps=2, flow_hidden=12)
TINY_TRAIN = TrainConfig(
    batch_size=8,
    learning_rate=2e-3,
    warmup_steps=5,
    evaluate_every=5,
    patience=4,
    min_improvement=1e-3,
    decay_steps=5,
    stop_rate=0.02,
)


SLOWEST = (
    *("test_flows.py", "test_model.py", "test_resume.py", "test_experiments.py", "test_train.py", "test_spectral.py"),
    *("test_umap_map.py", "test_devices.py", "test_pretrain.py", "test_cutting.py", "test_train_step.py"),
    *("test_slicing.py", "test_walkthrough.py", "test_readme.py", "test_cli.py", "test_tool.py", "test_real_sounds.py"),
    *("test_feature_store.py", "test_classifier.py", "test_timbre.py", "test_batches.py", "test_pca.py"),
)


def pytest_configure(config):
    """Let xdist hand out files in the order of the collection, and not by their number of tests."""
    config.option.loadscopereorder = False


def pytest_collection_modifyitems(items):
    """Put the slowest files first: a worker that gets such a file at the end leaves the others idle."""
    order = {name: place for place, name in enumerate(SLOWEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(SLOWEST)))


@pytest.fixture(scope="session", autouse=True)
def nothing_kept():
    """Tests leave nothing in the user's cache, and find nothing there."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "cache_compilations", lambda: None)
        yield


@pytest.fixture(scope="session")
def tiny() -> Config:
    """A config small enough to train in seconds."""
    return Config(TINY_AUDIO, TINY_MODEL, TINY_TRAIN)


@pytest.fixture(scope="session")
def sounds(tmp_path_factory):
    """A folder of built-in sounds, one sub-folder a class: six sounds of each kind."""
    return synth.write_dataset(
        tmp_path_factory.mktemp("built in") / "sounds", per_class=6, sample_rate=8000, progress=False
    )


@pytest.fixture(scope="module")
def home(tmp_path_factory, sounds):
    """Where the dataset "built in" of these sounds lives."""
    folder = tmp_path_factory.mktemp("datasets")
    data.make_dataset([sounds], "built in", classes=True, train_ratio=0.8, home=folder, progress=False)
    return folder


def pytest_sessionfinish(session):
    """With VAELAB_NO_SKIP=1, as in CI, a skipped test fails the run: a skip there hides a missing install."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("VAELAB_NO_SKIP") and reporter is not None and reporter.stats.get("skipped"):
        reporter.write_line("VAELAB_NO_SKIP: these tests were skipped and should have run", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
