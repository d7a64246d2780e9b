"""Channels that cancel each other are not lost, at any door; others are mixed as ever, and no change clicks."""

import jax
import numpy as np
import pytest
import soundfile

from vaelab import SoundSampleTool, audio, cutting, slicing
from vaelab import model as models
from vaelab.audio import built_in_tape, synth
from vaelab.audio.downmix import FADE, Downmix
from vaelab.data import make_dataset
from vaelab.datasets.feature_store import FeatureStore
from vaelab.models import checkpoint

RATE = 8000
RNG = np.random.default_rng(0)
LEFT, OTHER = RNG.standard_normal((2, 40_000)).astype(np.float32) * 0.1


def write(path, *channels):
    soundfile.write(path, np.stack(channels, axis=1), RATE, subtype="FLOAT")
    return path


def mean(*channels):
    return np.mean(channels, axis=0)


CASES = {
    "inverted": ((LEFT, -LEFT), LEFT),
    "inverted and softer": ((LEFT, -0.5 * LEFT), LEFT),
    "inverted and louder": ((0.6 * LEFT, -LEFT), -LEFT),
    "inverted, with a little noise": ((LEFT + 0.01, -LEFT), LEFT + 0.01),
    "the same": ((LEFT, LEFT), LEFT),
    "unrelated": ((LEFT, OTHER), mean(LEFT, OTHER)),
    "one silent": ((LEFT, 0 * LEFT), 0.5 * LEFT),
    "wide": ((LEFT + OTHER, LEFT - OTHER), LEFT),
    "half cancelled": ((LEFT, -0.2 * LEFT), 0.4 * LEFT),
    "six, of which two cancel": ((LEFT, -LEFT, *4 * [OTHER]), mean(LEFT, -LEFT, *4 * [OTHER])),
    "six, one sounding": ((LEFT, *5 * [0 * LEFT]), LEFT / 6),
    "four that cancel": ((LEFT, -LEFT, 0.5 * OTHER, -0.5 * OTHER), LEFT),
    "silence": ((0 * LEFT, 0 * LEFT), 0 * LEFT),
}


@pytest.mark.parametrize("case", CASES)
def test_channels_to_one(tmp_path, case):
    channels, expected = CASES[case]
    path = write(tmp_path / "a.wav", *channels)
    np.testing.assert_allclose(audio.read(path, RATE), expected, atol=1e-6)
    np.testing.assert_allclose(audio.read(path, RATE, 1.0, 2.0), expected[RATE : 3 * RATE], atol=1e-6)
    with audio.stream(path) as (_, _, blocks):
        np.testing.assert_allclose(np.concatenate(list(blocks)), expected, atol=1e-6)


def blockwise(channels, size):
    downmix, both = Downmix(2), np.stack(channels, axis=1)
    return np.concatenate([downmix(both[at : at + size]) for at in range(0, len(both), size)])


@pytest.mark.parametrize("size", [1024, 4000, 7919])
def test_a_change_does_not_click(size):
    """A tone whose right channel turns round twice: no step is much larger than the tone's own."""
    time = np.arange(40_000)
    tone = np.sin(time * 0.05).astype(np.float32)
    turning = np.cos(2 * np.pi * time / 20_000).astype(np.float32)
    mixed = blockwise((tone, turning * tone), size)
    assert np.abs(np.diff(mixed)).max() < 1.1 * np.abs(np.diff(tone)).max()
    assert np.abs(mixed[9_000:11_000]).max() > 0.99


def test_silence_and_short_rests_change_nothing():
    quiet = np.zeros(3000, np.float32)
    mixed = blockwise([np.concatenate([quiet, part, quiet, part[:500]]) for part in (LEFT, -LEFT)], 1500)
    np.testing.assert_allclose(mixed[3000 + FADE :][:30_000], LEFT[FADE:][:30_000], atol=1e-6)
    np.testing.assert_allclose(mixed[-500:], LEFT[:500], atol=1e-6)


def test_the_louder_channel_stays_the_same():
    """Also where the other is a little louder for a while."""
    gains = np.ones(40_000, np.float32)
    gains[20_000:30_000] = 0.8
    np.testing.assert_allclose(blockwise((gains * LEFT, -0.9 * LEFT), 2000), gains * LEFT, atol=1e-6)


def test_every_door(tmp_path, tiny):
    """Dataset, features, tool and slicing: an inverted pair is what its left channel is."""
    for name, gains in {"mono": [1], "pair": [1, -1]}.items():
        (tmp_path / name).mkdir()
        for number in range(3):
            samples = synth.sound("kick", number, RATE)[0]
            write(tmp_path / name / f"{number}.wav", *(gain * samples for gain in gains))
    features = []
    for name in ("mono", "pair"):
        dataset = make_dataset([tmp_path / name], name, home=tmp_path / "d", progress=False)
        store = FeatureStore(tmp_path / "d" / ".store", tiny.audio)
        entries = sorted(dataset.entries, key=lambda entry: entry.path)
        store.build({entry.sha256: dataset.source(entry) for entry in entries}, progress=False)
        features.append(store.rows([entry.sha256 for entry in entries]))
    np.testing.assert_array_equal(*features)
    checkpoint.save_model(tmp_path / "m.safetensors", models.create(tiny.model, tiny.audio, jax.random.key(0)), {})
    tool = SoundSampleTool(tmp_path / "m.safetensors")
    np.testing.assert_allclose(*(tool.embed([tmp_path / name / "0.wav"]) for name in ("mono", "pair")), atol=1e-6)


def test_an_inverted_tape_is_sliced_as_its_left_channel(tmp_path):
    tape = built_in_tape.perform(10, 1, RATE).samples
    mono, pair = write(tmp_path / "mono.wav", tape), write(tmp_path / "pair.wav", tape, -tape)
    assert slicing.slice_file(mono) == slicing.slice_file(pair) != []
    cut, _ = cutting.cut_tape(pair, tmp_path / "cut")
    first = cut.segments[0]
    written = audio.read(tmp_path / "cut" / first.path, RATE)
    np.testing.assert_allclose(written, tape[round(first.start * RATE) :][: len(written)], atol=2 / 32768)
