"""Names that people gave to sounds come back as they were, and what is no list of them is refused by name."""

import csv
import io

import pytest

from vaelab.ui import map_labels

NAMES = ["kick", "=1+1", "'quoted", 'ünïcode, "x"\nline', ""]


@pytest.fixture
def kept():
    return {map_labels.key(f"{n:064x}", n / 8): (name, f"folder/{n}.wav") for n, name in enumerate(NAMES)}


def test_names_come_back(tmp_path, kept):
    assert map_labels.read(tmp_path / "labels.csv") == {}
    assert map_labels.read(map_labels.write(tmp_path / "deep" / "labels.csv", kept)) == kept


def test_a_spreadsheet_computes_nothing_and_may_write_it(tmp_path, kept):
    path = map_labels.write(tmp_path / "labels.csv", kept)
    cells = [row[2] for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8")))]
    assert not any(cell.startswith("=") for cell in cells)
    path.write_text(path.read_text(encoding="utf-8"), encoding="utf-8-sig")
    assert map_labels.read(path) == kept


@pytest.mark.parametrize(
    "text", ["", "a,b\n", "sha256,onset_s,label,path\nx,y,z,w\n", "sha256,onset_s,label,path\nx,inf,z,w\n", "\xff"]
)
def test_what_is_no_list_is_refused(tmp_path, text):
    (tmp_path / "labels.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(map_labels.LabelError, match=r"labels\.csv: expected labels, in columns sha256, .*move it away"):
        map_labels.read(tmp_path / "labels.csv")
