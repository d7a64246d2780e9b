"""Settings as values: who is heard, what generate gets, slots and steps back."""

from dataclasses import replace
from pathlib import Path

import pytest

from vaelab.play.latent import LatentError
from vaelab.ui.mixer_state import STEPS_BACK, History, Setting, channels

THREE = Setting(tuple(channels(["kick.wav", "a/snare.wav", "clap.wav"], [0, 1.5, 0])), seed=3)


def with_channel(number, **changes):
    changed = list(THREE.channels)
    changed[number] = replace(changed[number], **changes)
    return replace(THREE, channels=tuple(changed))


def test_all_of_it_reaches_generate():
    setting = replace(with_channel(1, weight=-0.5), normalize=False, variance=0.1, spread=2.0, detail=0.25)
    assert setting.arguments() == {
        "audio_files": [Path("kick.wav"), Path("a/snare.wav"), Path("clap.wav")],
        "offsets": [0.0, 1.5, 0.0],
        "weights": [1.0, -0.5, 1.0],
        "normalize_weights": False,
        "variance": 0.1,
        "spread": 2.0,
        "seed": 3,
        "detail": 0.25,
        "channels": "mono",
    }
    assert replace(setting, stereo=True).arguments() == {**setting.arguments(), "channels": "source"}
    assert setting.words() == "1 kick − 0.5 snare + 1 clap"


def test_without_sounds_it_is_a_random_one():
    setting = Setting((), seed=3, label="snare")
    assert setting.arguments() == {"seed": 3, "label": "snare"}
    assert setting.words() == "random snare, seed 3"


@pytest.mark.parametrize(
    ("number", "change", "heard"),
    [
        (0, {"mute": True}, "1 snare + 1 clap"),
        (1, {"weight": 0.0}, "1 kick + 1 clap"),
        (2, {"solo": True}, "1 clap"),
        (0, {"weight": -1.0}, "− 1 kick + 1 snare + 1 clap"),
    ],
)
def test_who_is_heard(number, change, heard):
    assert with_channel(number, **change).words() == heard


def test_many_sounds_are_summed_up():
    many = Setting(tuple(channels([f"{number}.wav" for number in range(9)], [0.0] * 9)))
    assert many.words() == "1 0 + 1 1 + 1 2 + 1 3 + 1 4 + 1 5 and 3 more"


def test_nobody_heard_is_said():
    with pytest.raises(LatentError, match="every sound is muted"):
        with_channel(0, solo=True, mute=True).arguments()


def test_slots_keep_their_own_steps():
    history = History(THREE)
    assert not history.change(THREE)
    assert history.change(replace(THREE, seed=4))
    history.open("B")
    assert history.present.seed == 4
    assert history.change(replace(THREE, seed=5))
    history.open("A")
    assert history.present.seed == 4
    assert history.undo()
    assert history.present == THREE
    assert not history.undo()
    history.open("B")
    assert history.present.seed == 5


def test_steps_back_are_bounded():
    history = History(THREE)
    for seed in range(3 * STEPS_BACK):
        history.change(replace(THREE, seed=1000 + seed))
    steps = 0
    while history.undo():
        steps += 1
    assert steps == STEPS_BACK
