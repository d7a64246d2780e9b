"""Batches of sounds on their way through the front end: fixed sizes, every sound once, the right front end."""

import numpy as np
import pytest
from conftest import TINY_AUDIO

from vaelab import spectral
from vaelab.config import AudioConfig
from vaelab.datasets import feature_rows


def sounds(*lengths: int) -> list[tuple[str, np.ndarray]]:
    rng = np.random.default_rng(0)
    return [(str(n), 0.1 * rng.standard_normal(length).astype(np.float32)) for n, length in enumerate(lengths)]


def test_every_sound_comes_out_once_with_its_own_features():
    given = sounds(*range(100, 9000, 97))
    found = {}
    for keys, rows in feature_rows.computed(given, TINY_AUDIO):
        assert len(keys) == len(rows) <= feature_rows.BATCH
        found.update(zip(keys, rows, strict=True))
    assert sorted(found) == sorted(key for key, _ in given)
    for key, samples in given[::9]:
        clip = spectral.fit_length(samples, TINY_AUDIO)[None]
        expected, _ = spectral.mel(clip, TINY_AUDIO)
        assert np.abs(found[key] - 255 * np.asarray(expected[0])).max() < 0.51


def test_nothing_in_nothing_out():
    assert list(feature_rows.computed([], TINY_AUDIO)) == []


def test_an_error_on_the_way_is_not_lost():
    def broken():
        yield from sounds(1000)
        raise RuntimeError("the decoder is gone")

    with pytest.raises(RuntimeError, match="the decoder is gone"):
        list(feature_rows.computed(broken(), TINY_AUDIO))


def test_no_front_end_is_shorter_than_a_window_of_its_sound():
    for config in (AudioConfig(), AudioConfig.samplevae(), TINY_AUDIO):
        for one in feature_rows.front_ends(config)[:-1]:
            longest = one.frames * one.hop_length - one.n_fft // 2
            assert feature_rows.holds(one, longest)
            assert not feature_rows.holds(one, longest + 1)
    one_window = AudioConfig(sample_rate=8000, clip_seconds=0.05, n_fft=256, hop_length=128, n_mels=24)
    assert feature_rows.front_ends(one_window) == (one_window,)


def test_a_pass_fits_the_cache_and_is_never_empty():
    sizes = [feature_rows.batch_size(one) for one in feature_rows.front_ends(AudioConfig())]
    assert sizes == [8, 4, 2]
    assert feature_rows.batch_size(AudioConfig(clip_seconds=60.0)) == 1
    assert feature_rows.batch_size(TINY_AUDIO) == feature_rows.BATCH
