"""The confusion matrix by clicking its cells, without a browser."""

import shutil
from dataclasses import replace

import ipywidgets
import jax
import numpy as np
import pytest

from vaelab import audio, model
from vaelab.models import checkpoint
from vaelab.play import SoundSampleTool
from vaelab.ui.confusions import Confusions

NAMES = ("kick", "<img src=x onerror=alert(1)> $x$ 'y'")


@pytest.fixture(scope="module")
def tool(tiny, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "tiny.safetensors"
    config = replace(tiny.model, labels=(("class", NAMES),))
    checkpoint.save_model(path, model.create(config, tiny.audio, jax.random.key(0)), {})
    return SoundSampleTool(path)


@pytest.fixture
def files(sounds):
    return sorted((sounds / "kick").glob("*.wav")) + sorted((sounds / "clap").glob("*.wav"))


@pytest.fixture
def shown(tool, files):
    return Confusions(tool, files, [NAMES[0]] * 6 + [NAMES[1]] * 5 + [None], sync=True)


def texts(widget):
    own = [widget.value] if isinstance(widget, ipywidgets.HTML) else []
    return own + [text for child in getattr(widget, "children", ()) for text in texts(child)]


def test_counts_what_the_model_hears(shown, tool, files):
    for (true, heard), found in shown.confused.items():
        assert all(tool.predict(path)[1] == heard for path in found)
        assert shown.cells[true, heard].description == str(len(found))
    assert sum(map(len, shown.confused.values())) == 11
    assert shown.progress.value == 11
    assert shown.children[0].layout.display == "none"  # nothing is left to cancel


def test_classifies_in_batches(tool, files, monkeypatch):
    """One file that cannot be read is named, and the others of its batch are there."""
    monkeypatch.setattr(tool, "predict", lambda *_: pytest.fail("file by file"))
    gone = files[0].with_name("gone.wav")
    shown = Confusions(tool, [files[0], gone, files[0]], [NAMES[0], NAMES[0], NAMES[1]], sync=True)
    assert sorted((true, found) for (true, _), found in shown.confused.items()) == sorted(
        (true, [files[0]]) for true in NAMES
    )
    assert "not classified: kick/gone: expected a sound file, found none" in shown.status.value
    assert shown.progress.value == 3


def test_a_click_plays_one_after_another(shown, tool):
    pair, found = max(shown.confused.items(), key=lambda item: len(item[1]))
    config = tool.model.audio
    for path in [*found, found[0]]:
        shown.cells[pair].click()
        wanted = audio.read(path, config.sample_rate, seconds=config.clip_seconds)
        np.testing.assert_array_equal(np.frombuffer(shown.player.samples, "<f4"), wanted)
        assert f"{pair[0]} heard as {pair[1]}" in shown.player.title


def test_names_are_text(shown):
    for pair in shown.cells:
        shown.cells[pair].click()
    for text in texts(shown):
        assert "<img" not in text
        assert "$x$" not in text
        assert "'y'" not in text


def test_what_cannot_be_read_is_said(tool, files, tmp_path):
    gone = tmp_path / "gone.wav"
    shutil.copy(files[0], gone)
    shown = Confusions(tool, [gone], ["kick"], sync=True)
    gone.unlink()
    next(iter(shown.cells.values())).click()
    assert "cannot play" in shown.status.value
    assert "not classified" in Confusions(tool, [gone], ["kick"], sync=True).status.value
    shown.cancel.click()
    assert "stopped after 1 of 1" in shown.status.value
