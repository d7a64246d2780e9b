"""Processes that build a feature store, and that tests may kill.

A helper imports everything once and forks a builder for each line `HOME ROWS DIE_AT` that it reads (DIE_AT: the
replacement at which it kills itself, -1 for never). It says `started PID`; the builder says `built PID SECONDS`; for
a line `wait PID` the helper says `ended PID STATUS`.
"""

import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import jax

TINY = {"sample_rate": 8000, "clip_seconds": 0.5, "n_fft": 256, "hop_length": 128, "n_mels": 24}


class Builders:
    """The helper, seen from a test."""

    def __init__(self, folder: Path):
        command = [sys.executable, __file__, str(folder)]
        # Bytes can only be the same where both processes compile alike.
        alike = {"JAX_DISABLE_MOST_OPTIMIZATIONS": str(jax.config.read("jax_disable_most_optimizations"))}
        environment = {**os.environ, **alike}
        self._helper = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self._seconds: dict[int, float] = {}

    def start(self, home: Path, rows: int, die_at: int = -1) -> int:
        """Start a builder; returns its process number."""
        return int(self._ask(f"{home} {rows} {die_at}", "started").split()[1])

    def finish(self, pid: int) -> float:
        """Wait for a builder that must succeed: its seconds."""
        assert self.status(pid) == 0
        return self._seconds[pid]

    def status(self, pid: int) -> int:
        """Wait for a builder: its exit status, negative for a signal."""
        return int(self._ask(f"wait {pid}", f"ended {pid}").split()[2])

    def close(self) -> None:
        self._helper.communicate(timeout=60)

    def _ask(self, line: str, wanted: str) -> str:
        self._helper.stdin.write(line + "\n")
        self._helper.stdin.flush()
        while answer := self._helper.stdout.readline():
            if answer.startswith("built"):
                self._seconds[int(answer.split()[1])] = float(answer.split()[2])
            elif answer.startswith(wanted):
                return answer
        raise RuntimeError("the helper ended")


def build(sounds: dict[str, Path], home: str, rows: int, die_at: int) -> None:
    from vaelab.config import AudioConfig
    from vaelab.datasets import feature_store

    replace, left = os.replace, die_at

    def replace_or_die(*arguments):
        nonlocal left
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        left -= 1
        replace(*arguments)

    os.replace = replace_or_die
    feature_store.SHARD_ROWS = rows
    start = time.perf_counter()
    failed = feature_store.FeatureStore(home, AudioConfig(**TINY)).build(sounds, progress=False)
    assert failed == {}
    say("built", os.getpid(), time.perf_counter() - start)


def say(*words: object) -> None:
    """One line in one write: two builders may speak at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def serve(folder: Path) -> None:

    from vaelab import files
    from vaelab.datasets import feature_store  # noqa: F401

    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX has started no thread yet
    sounds = {files.content_hash(path): path for path in sorted(folder.iterdir())}
    for line in sys.stdin:
        words = line.split()
        if words[0] == "wait":
            _, status = os.waitpid(int(words[1]), 0)
            say("ended", words[1], os.waitstatus_to_exitcode(status))
            continue
        pid = os.fork()
        if pid == 0:
            os.close(0)
            build(sounds, words[0], int(words[1]), int(words[2]))
            os._exit(0)
        say("started", pid)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
