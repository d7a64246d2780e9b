"""Shipped models: how they are made, small; and what every one that ships must be able to do."""

import numpy as np
import pytest

from experiments.common import recipes
from experiments.release import cards, pretrain
from vaelab import SoundSampleTool
from vaelab.audio import synth
from vaelab.models import checkpoint, familiarity, pretrained

SHIPPED = sorted(path.stem for path in pretrained.FOLDER.glob("*.safetensors"))
MOST_BYTES = 58e6  # with the code, a wheel of less than 60 MB


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The one that needs no sounds of others, made in a few steps."""
    return pretrain.make("industrial", tmp_path_factory.mktemp("models"), tiny=True)


def test_a_model_is_made_with_its_card(made):
    tool = SoundSampleTool(made)
    assert tool.meta["stored"] == "float16"
    assert tool.generate(seed=0).recipe["prior"] == "sounds"
    assert [tape["name"] for tape in tool.meta["trained_on"]] == ["built_in_tape.wav"]
    card = made.with_suffix(".md").read_text(encoding="utf-8")
    assert card.startswith("# industrial\n")
    assert "python -m experiments.release.pretrain industrial" in card
    assert f"{len(tool.reference.embeddings)} to train on" in card
    assert "best after " in card
    assert "free of rights" in card


def test_what_a_model_remembers_is_measured_anew(made, tmp_path):
    """Also of a file from before timbres were remembered; its weights stay, and another set of sounds is refused."""
    tensors, meta = checkpoint.load(made)
    new = [f"{checkpoint.REFERENCE}/{name}" for name in familiarity.TIMBRE]
    old = {name: array for name, array in tensors.items() if name not in new}
    kept = {name: value for name, value in meta.items() if name not in ("versions", "format", "sha256")}
    path = tmp_path / made.name
    checkpoint.save(path, old, kept)
    assert SoundSampleTool(path).reference.timbres is None
    pretrain.remeasure("industrial", tmp_path, tiny=True)
    measured, _ = checkpoint.load(path)
    assert set(measured) == set(tensors)
    for name, array in tensors.items():
        np.testing.assert_allclose(measured[name].astype(float), array.astype(float), rtol=1e-3, atol=1e-4)
        if name in old and not name.startswith(checkpoint.REFERENCE):
            np.testing.assert_array_equal(measured[name], array)
    name = f"{checkpoint.REFERENCE}/embeddings"
    checkpoint.save(path, {**old, name: old[name][::-1]}, kept)
    with pytest.raises(ValueError, match=r"of which some are others; make the model again"):
        pretrain.remeasure("industrial", tmp_path, tiny=True)


def test_every_recipe_names_its_sounds():
    for recipe in recipes.RECIPES.values():
        assert set(recipe.sounds) <= set(cards.LICENCES)


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        pretrain.main(["generall"])
    assert stopped.value.code == 2
    assert "expected names of general, drum_classes, drum_kits, industrial, found generall" in capsys.readouterr().err


def test_all_models_ship_and_are_small():
    assert set(recipes.RECIPES) == set(SHIPPED)
    assert sum((pretrained.FOLDER / f"{name}.safetensors").stat().st_size for name in SHIPPED) <= MOST_BYTES


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_model_works_by_its_name(name, tmp_path):
    tool = SoundSampleTool(f"model_{name}")
    sound = tool.generate(tmp_path / "random.wav", seed=1)
    assert 0.01 < np.abs(sound.samples).max() <= 1
    assert tool.meta["sha256"] == checkpoint.load(pretrained.FOLDER / f"{name}.safetensors")[1]["sha256"]
    kick = synth.write_dataset(tmp_path / "sounds", 1, kinds=["kick"], progress=False) / "kick" / "kick_0001.wav"
    assert tool.how_known(kick).verdict in ("well inside", "at the edge", "unknown")
    if tool.class_names:
        assert len(tool.predict(kick)[0]) == len(tool.class_names)
    assert str(pretrained.FOLDER.parent.parent) not in str(tool.meta)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_card_is_what_the_file_and_the_results_say(name):
    card = (pretrained.FOLDER / f"{name}.md").read_text(encoding="utf-8")
    assert card == cards.card(pretrained.FOLDER / f"{name}.safetensors"), f"run {pretrain.COMMAND} --cards"
