"""What the browser is given: samples, a title that is text, a spectrogram with ticks."""

import numpy as np

from vaelab.audio import Sound
from vaelab.ui.player import Player

SWEEP = np.sin(np.cumsum(np.linspace(0.05, 2.0, 4000))).astype(np.float32)


def test_takes_a_sound_in_one_turn():
    player = Player()
    player.hear(Sound(2 * SWEEP, 8000), "a\nb")
    np.testing.assert_array_equal(np.frombuffer(player.samples, "<f4"), np.clip(2 * SWEEP, -1, 1))
    assert (player.sample_rate, player.turn, player.title) == (8000, 1, "'a\\nb'")


def test_stereo_is_sent_one_channel_after_the_other(tiny):
    player, both = Player(), np.stack([SWEEP, 0.5 * SWEEP], axis=1)
    player.hear(Sound(both, 8000), "stereo")
    assert player.channels == 2
    np.testing.assert_array_equal(np.frombuffer(player.samples, "<f4").reshape(2, -1).T, both)
    player.draw(Sound(both, 8000), tiny.audio)
    picture = player.image
    player.hear(Sound(SWEEP, 8000), "mono")
    player.draw(Sound(0.75 * SWEEP, 8000), tiny.audio)
    assert player.channels == 1
    assert player.image == picture


def test_draws_high_pitches_on_top(tiny):
    player = Player()
    player.draw(Sound(SWEEP, 8000), tiny.audio)
    colours = np.frombuffer(player.image, np.uint8).reshape(player.bands, player.frames, 3).sum(axis=2)
    assert player.floor_db == tiny.audio.top_db
    assert player.bands == tiny.audio.n_mels
    brightest = colours[:, 2:-4].argmax(axis=0)  # the sweep rises, so its row falls
    assert brightest[0] > brightest[-1] + player.bands // 3
    assert [name for _, name in player.pitches] == ["200", "1k", "3k"]
    places = [place for place, _ in player.pitches]
    assert places == sorted(places)
    assert 0 < places[0] < places[-1] < 1


def test_scripts_are_in_the_package():
    for kind in (Player._esm, Player._css):
        assert len(str(kind)) > 200
