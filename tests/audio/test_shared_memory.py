"""Arrays by shared memory: the same as through a pipe, and nothing that stays behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from faults.behaviours import RefusalError, behave

from vaelab.audio import shared_memory, workers

pytestmark = pytest.mark.skipif(
    not shared_memory.available(), reason="such memory is Linux's; elsewhere arrays are pickled"
)
ARRAYS = [np.arange(n, dtype=np.float32) - 7 for n in (1, 5, 1000, 4096)]


def handles() -> set[str]:
    """What this process holds open of the shelf's kind."""
    links = (os.readlink(entry) for entry in Path("/proc/self/fd").iterdir() if entry.is_symlink())
    return {link for link in links if "vaelab arrays" in link}


def test_what_is_put_is_what_is_taken():
    with shared_memory.Shelf(4 * 4096) as shared:
        answers = shared_memory.put(ARRAYS, shared.places(3))
        assert all(isinstance(answer, shared_memory.Put) for answer in answers)
        taken = [shared.take(answer) for answer in answers]
        grid = np.arange(12.0).reshape(3, 4)[:, ::2]
        (again,) = (shared.take(answer) for answer in shared_memory.put([grid], shared.places(0)))
    assert [one.dtype for one in taken] == [one.dtype for one in ARRAYS]
    assert all(np.array_equal(one, other) for one, other in zip(taken, ARRAYS, strict=True))
    assert np.array_equal(again, grid)
    assert not handles()


@pytest.mark.parametrize("result", [None, 5, "text", np.zeros(0), np.zeros(5000, np.float32)], ids=repr)
def test_what_does_not_fit_goes_as_it_is(result):
    with shared_memory.Shelf(4 * 4096) as shared:
        (answer,) = shared_memory.put([result], shared.places(0))
        assert answer is result
        assert shared.take(answer) is result


def test_an_array_that_was_cut_is_not_taken():
    cut = shared_memory.Put(0, (4,), "<f4")
    with shared_memory.Shelf(16) as shared, pytest.raises(OSError, match="expected 16 bytes of an array in shared"):
        shared.take(cut)


@pytest.mark.parametrize("how", ["shared", "piped", "limited"])
def test_workers_answer_alike_either_way(how, monkeypatch):
    """Also where each window uses the places of the one before, and where no file may grow."""
    if how == "piped":
        monkeypatch.setattr(shared_memory, "available", lambda: False)
    items = [("array" if how != "limited" else "array in a small file", n) for n in (3, 5000, 70, 1, 4096, 2, 9, 30)]
    items[2] = ("refuse",)
    found = list(workers.outcomes(behave, items, RefusalError, chunk=2, window=4, array_bytes=4 * 4096))
    assert [reason for _, reason in found] == [None, None, "refused", *[None] * 5]
    assert found[2][0] is None
    for (_, *size), (result, _) in zip(items, found, strict=True):
        if size:
            assert np.array_equal(result, np.arange(size[0], dtype=np.float32))
    assert not handles()


def test_a_session_that_is_killed_leaves_no_memory():
    """The memory goes with the last process that has it open; workers open it for a message only."""
    code = (
        "import os; from vaelab.audio import workers; from faults.behaviours import behave, RefusalError;"
        "found = workers.outcomes(behave, [('array', 1000)] * 4, RefusalError, array_bytes=4000);"
        "print(len(next(found)[0]), flush=True); os.kill(os.getpid(), 9)"
    )
    before = set(os.listdir("/dev/shm"))
    here = Path(__file__).parents[1]
    killed = subprocess.run([sys.executable, "-c", code], cwd=here, stdout=subprocess.PIPE, text=True, check=False)
    assert (killed.returncode, killed.stdout.strip()) == (-signal.SIGKILL, "1000")
    assert not {name for name in set(os.listdir("/dev/shm")) - before if "vaelab" in name}
