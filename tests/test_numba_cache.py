"""A user without a home who may not write to the packages, as a container's: everything works, and doctor tells."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from vaelab import numba_cache
from vaelab.cli import doctor

ROOT = Path(__file__).parents[1]
# Root may write anywhere, so what numba and vaelab try is refused here, but for the temporary folder.
REFUSING = """
import os, tempfile
allowed, real = os.environ["TMPDIR"], tempfile.TemporaryFile
def refusing(*arguments, dir=None, **settings):
    if not str(dir).startswith(allowed):
        raise PermissionError(13, "Permission denied")
    return real(*arguments, dir=dir, **settings)
tempfile.TemporaryFile = refusing
from vaelab import numba_cache
"""
WORK = """
numba_cache.provide()
import librosa.util, numba, numpy
print(len(librosa.util.localmax(numpy.arange(9))), os.environ["NUMBA_CACHE_DIR"], numba.config.CACHE_DIR)
"""


def run(tmp_path, code, **environment):
    """Run code in a process without a home."""
    (tmp_path / "tmp").mkdir(exist_ok=True)
    left = {name: value for name, value in os.environ.items() if name not in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR")}
    environment = {**left, "HOME": "/dev/null", "TMPDIR": str(tmp_path / "tmp"), **environment}
    command = [sys.executable, "-c", REFUSING + code]
    return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path, check=False)


def test_it_would_fail(tmp_path):
    """Here the process is one in which numba has no place."""
    finished = run(tmp_path, "from librosa.util import localmax")
    assert "cannot cache function" in finished.stderr


@pytest.mark.parametrize("before", ["", "import numba\n"], ids=["", "numba imported before"])
def test_a_temporary_folder_serves_and_goes(tmp_path, before):
    finished = run(tmp_path, before + WORK)
    assert finished.returncode == 0, finished.stderr
    count, folder, used = finished.stdout.split()
    assert (count, Path(folder).parent) == ("9", tmp_path / "tmp")
    assert folder == used
    assert not Path(folder).exists()
    assert os.listdir(tmp_path) == ["tmp"]


def test_experiments_may_compare_with_librosa(tmp_path):
    finished = run(tmp_path, "import experiments\nfrom librosa.util import localmax", PYTHONPATH=str(ROOT))
    assert finished.returncode == 0, finished.stderr


def test_a_folder_that_was_named_is_used(tmp_path):
    (tmp_path / "tmp").mkdir()
    finished = run(tmp_path, WORK, NUMBA_CACHE_DIR=str(tmp_path / "tmp" / "mine"))
    assert finished.returncode == 0, finished.stderr
    assert finished.stdout.split()[1:] == 2 * [str(tmp_path / "tmp" / "mine")]
    assert (tmp_path / "tmp" / "mine").is_dir()


def test_elsewhere_nothing_is_done(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    monkeypatch.setattr(numba_cache, "_is_writable", lambda folder: True)
    assert numba_cache.provide() is None
    assert "NUMBA_CACHE_DIR" not in os.environ


def test_a_user_without_a_home_has_no_folder(monkeypatch):
    """Numba's own answer is a folder called ~ in the working folder."""
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(numba_cache.sys, "platform", "linux")
    monkeypatch.setattr(numba_cache.os.path, "expanduser", lambda path: path)
    assert numba_cache.user_folder() is None
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert numba_cache.user_folder() == Path("/cache/numba")


def test_the_doctor_tells(monkeypatch, tmp_path):
    monkeypatch.delenv("NUMBA_CACHE_DIR", raising=False)
    assert not any("numba" in problem for problem in doctor.examine(tmp_path)["problems"])
    monkeypatch.setattr(numba_cache, "_is_writable", lambda folder: False)
    (problem,) = [problem for problem in doctor.examine(tmp_path)["problems"] if "numba" in problem]
    assert "each run compiles in a temporary folder; set NUMBA_CACHE_DIR to a folder that can be written" in problem
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert not any("numba" in problem for problem in doctor.examine(tmp_path)["problems"])
