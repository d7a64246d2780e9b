"""Files of tensors: equal ones have equal bytes, whichever process wrote them, and any reader reads them."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
from safetensors import numpy as st

from vaelab import tensorfile
from vaelab.models import checkpoint

WRITE = """
import sys
import numpy as np
from vaelab import tensorfile
from vaelab.models import checkpoint
arrays = {name: np.arange(3, dtype=np.float32) for name in ("b", "ä/ü", "A", "c")}
tensorfile.write(sys.argv[1], arrays, {"name": "Geräusch \\"1\\"\\n", "number": 1})
checkpoint.save(sys.argv[2], arrays, {"name": "Geräusch"})
"""


def test_two_processes_write_the_same_bytes(tmp_path):
    """Their hashes of strings, and so the orders of their dictionaries elsewhere, differ."""
    written = []
    for seed in range(4):
        paths = [str(tmp_path / f"{kind}{seed}") for kind in ("plain", "checkpoint")]
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        subprocess.run([sys.executable, "-c", WRITE, *paths], env=environment, check=True)
        written.append([(tmp_path / path).read_bytes() for path in paths])
    assert all(files == written[0] for files in written)


def test_any_order_of_metadata_is_sealed_the_same():
    """safetensors draws a new order for each call."""
    arrays = {"x": np.arange(6, dtype=np.int16), "y": np.zeros((2, 0), np.float32)}
    bodies = set()
    for _ in range(16):
        body = bytearray(st.save(arrays, {"vaelab": "{}", "sha256": tensorfile.BLANK, "a": "é\u2028", "b": ""}))
        tensorfile.seal(body)
        bodies.add(bytes(body))
    assert len(bodies) == 1


def test_safetensors_reads_what_was_sealed(tmp_path):
    arrays = {"x": np.arange(6, dtype=np.int16).reshape(2, 3), "y": np.ones(5), "b": np.zeros((0, 4), np.float16)}
    tensorfile.write(tmp_path / "file", arrays, {"name": "x"})
    body = (tmp_path / "file").read_bytes()
    loaded = st.load(body)
    assert loaded.keys() == arrays.keys()
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert loaded[name].dtype == array.dtype
    header, start = tensorfile.header(body)
    assert start % 8 == 0  # as the format wants it, so that maps of the tensors are aligned
    assert list(header) == sorted(header)
    assert json.loads(header["__metadata__"]["vaelab"]) == {"name": "x"}
    tensorfile.verify(body, header["__metadata__"]["sha256"])


@pytest.mark.parametrize("keys", [("sha256", "vaelab"), ("vaelab", "sha256")])
def test_a_file_of_either_order_opens(keys, tmp_path):
    """Files of before have one or the other."""
    described = {"sha256": tensorfile.BLANK, "vaelab": json.dumps({"format": checkpoint.FORMAT})}
    header = {"__metadata__": {key: described[key] for key in keys}, "x": {"dtype": "F32", "shape": [1]}}
    header["x"]["data_offsets"] = [0, 4]
    text = json.dumps(header, separators=(",", ":")).encode()
    text = text.ljust(-(-len(text) // 8) * 8)
    body = len(text).to_bytes(8, "little") + text + np.float32(1).tobytes()
    digest = hashlib.sha256(body).hexdigest()
    (tmp_path / "file").write_bytes(body.replace(tensorfile.BLANK.encode(), digest.encode()))
    tensors, meta = checkpoint.load(tmp_path / "file")
    assert (tensors["x"].tolist(), meta["sha256"]) == ([1.0], digest)
