"""Processes that train, each with a JAX of its own, and that tests may kill.

A helper imports everything once and forks one for each line of JSON that it reads: {"train": arguments} starts one and
is answered by its process number; {"wait": number} is answered by its exit status, negative for a signal.
"""

import json
import os
import subprocess
import sys
import traceback
import warnings
from pathlib import Path

import jax


class Trainers:
    """The helper, seen from a test."""

    def __init__(self, cache: Path | None = None):
        """Start it; with `cache`, a folder, the processes share what they compile, which saves most of their time."""
        # Bytes can only be the same where both processes compile alike.
        alike = {"JAX_DISABLE_MOST_OPTIMIZATIONS": str(jax.config.read("jax_disable_most_optimizations"))}
        if cache is not None:
            alike |= {"JAX_COMPILATION_CACHE_DIR": str(cache), "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"}
        self._helper = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **alike},
        )

    def start(self, **arguments) -> int:
        """Start `train.train` with these arguments; returns its process number."""
        return self._ask({"train": arguments})

    def status(self, pid: int) -> int:
        """Wait for a process: its exit status, negative for a signal."""
        return self._ask({"wait": pid})

    def train(self, **arguments) -> None:
        """Train to the end, which must succeed."""
        assert self.status(self.start(**arguments)) == 0

    def close(self) -> None:
        self._helper.communicate(timeout=60)

    def _ask(self, question: dict) -> int:
        self._helper.stdin.write(json.dumps(question, default=str) + "\n")
        self._helper.stdin.flush()
        answer = self._helper.stdout.readline()
        if not answer:
            raise RuntimeError("the helper ended")
        return json.loads(answer)


def work(arguments: dict) -> None:
    """What a forked process does: train, with nothing on the helper's line of answers."""
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.dup2(2, 1)
    status = 1
    try:
        from vaelab.config import Config

        config = arguments.pop("config", None)
        training.train(config=config and Config.from_dict(config), progress=False, **arguments)
        status = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def serve() -> None:
    warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)  # JAX has started no thread yet
    for line in sys.stdin:
        question = json.loads(line)
        if "wait" in question:
            answer = os.waitstatus_to_exitcode(os.waitpid(question["wait"], 0)[1])
        else:
            answer = os.fork()
            if answer == 0:
                work(question["train"])
        print(answer, flush=True)


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))
    from vaelab import training

    serve()
