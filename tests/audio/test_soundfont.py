"""Sound fonts: samples, loops and envelopes come out as recorded; damaged and hostile files are one typed error."""

import contextlib
import struct

import numpy as np
import pytest
import soundfonts
from soundfonts import ATTACK, DECAY, HOLD, INSTRUMENT, MODE, RATE, SAMPLE, SUSTAIN, Instrument, Preset, Sample, tone

from vaelab.audio import AudioError, soundfont
from vaelab.audio.soundfont import SoundFontError, open_font

STEADY = {ATTACK: -32768}  # as short as may be


def put(tmp_path, content):
    path = tmp_path / "font.sf2"
    path.write_bytes(content)
    return path


def played(tmp_path, samples, zones, outer=None, seconds=1.0, **settings):
    """All sounds of a font with one preset."""
    instruments, presets = [Instrument("Inside", zones)], [Preset("Preset", outer or [{INSTRUMENT: 0}])]
    with open_font(put(tmp_path, soundfonts.font(samples, instruments, presets, **settings))) as font:
        return [font.play(sound, seconds) for sound in font.sounds()]


def test_a_sample_comes_out_as_it_was_recorded(tmp_path):
    first, second = tone(1), tone(2, 500)
    sounds = played(tmp_path, [Sample("A", first), Sample("B", second, (10, 20))], [{SAMPLE: 0}, {SAMPLE: 1}])
    for sound, values in zip(sounds, (first, second), strict=True):
        assert sound.dtype == np.float32
        np.testing.assert_array_equal(sound * 32768, values)


@pytest.mark.parametrize("mode", [1, 3])
@pytest.mark.parametrize("seconds", [0.05, 1.0])
def test_a_loop_is_played_to_the_end(tmp_path, mode, seconds):
    values = tone(3)
    (sound,) = played(tmp_path, [Sample("A", values, (300, 700))], [{**STEADY, MODE: mode, SAMPLE: 0}], seconds=seconds)
    expected = np.concatenate([values[:300], *[values[300:700]] * 30])[: round(seconds * RATE)]
    np.testing.assert_allclose(sound[8:] * 32768, expected[8:], rtol=1e-6)  # an attack takes 1 ms


def test_a_zone_moves_the_loop(tmp_path):
    zone = {**STEADY, MODE: 1, soundfonts.START_LOOP: 100, soundfonts.END_LOOP: -50, SAMPLE: 0}
    (sound,) = played(tmp_path, [Sample("A", tone(3), (300, 700))], [zone])
    np.testing.assert_array_equal(sound[650 : 650 + 1000], np.resize(sound[400:650], 1000))


def test_a_held_note_follows_its_envelope(tmp_path):
    """Attack 0.125 s, hold 0.25 s, then 50 dB/s down to 20 dB below; the preset doubles the decay's time."""
    zone = {ATTACK: -3600, HOLD: -2400, DECAY: 0, SUSTAIN: 200, MODE: 1, SAMPLE: 0}
    steady = Sample("A", np.full(100, 16384), (0, 100))
    (sound,) = played(tmp_path, [steady], [zone], [{DECAY: 1200, INSTRUMENT: 0}], seconds=2)
    level = {0.0625: 0.5, 0.2: 1, 0.37: 1, 0.575: 10**-0.5, 0.775: 0.1, 1.9: 0.1}
    for time, gain in level.items():
        assert sound[round(time * RATE)] == pytest.approx(0.5 * gain, rel=2e-3), time


def test_a_global_zone_holds_for_all_others(tmp_path):
    samples = [Sample("A", tone(1), (0, 800)), Sample("B", tone(2), (0, 800))]
    lengths = list(map(len, played(tmp_path, samples, [{MODE: 1}, {SAMPLE: 0}, {MODE: 0, SAMPLE: 1}])))
    assert lengths == [RATE, 800]


def test_the_first_preset_in_order_names_a_sample(tmp_path):
    samples = [Sample(name, tone(number)) for number, name in enumerate("ABC")]
    instruments = [Instrument("Drums", [{SAMPLE: 0}, {SAMPLE: 1}]), Instrument("Bell", [{SAMPLE: 1}])]
    presets = [Preset("Kit", [{INSTRUMENT: 0}], bank=128), Preset("Bells", [{INSTRUMENT: 1}], program=14)]
    content = soundfonts.font(
        samples, instruments, presets, {b"ICOP": b"Nobody, 1999\0", b"ICMT": "frei für alle".encode()}
    )
    with open_font(put(tmp_path, content)) as font:
        assert {number: (note.preset, note.instrument) for number, note in font.notes.items()} == {
            0: ("Kit", "Drums"),
            1: ("Bells", "Bell"),
        }
        assert font.info == {"name": "Test font", "copyright": "Nobody, 1999", "comment": "frei für alle"}


@pytest.mark.parametrize(
    ("left", "right", "pairs"),
    [
        (Sample("Hall", tone(1), kind=4, link=1), Sample("Room", tone(2), kind=2, link=0), True),
        (Sample("Piano C4(L)", tone(1), kind=4), Sample("Piano C4(R)", tone(2, 700), kind=2), True),
        (Sample("Strings E4L", tone(1), kind=4), Sample("Strings E4R", tone(2), kind=2), True),
        (Sample("choir_l", tone(1), kind=4, link=9), Sample("choir_r", tone(2), kind=2), True),
        (Sample("Piano C4(L)", tone(1), kind=4), Sample("Piano D4(R)", tone(2), kind=2), False),
        (Sample("Hall", tone(1), kind=4, link=1), Sample("Room", tone(2), kind=2, link=1), False),
        (Sample("Hall (L)", tone(1), kind=4), Sample("Hall (R)", tone(2), kind=2, rate=11025), False),
        (Sample("Piano (L)", tone(1)), Sample("Piano (R)", tone(2)), False),
    ],
)
def test_stereo_pairs_become_stereo(tmp_path, left, right, pairs):
    sounds = played(tmp_path, [left, right], [])
    if not pairs:
        assert [sound.ndim for sound in sounds] == [1, 1]
        return
    (sound,) = sounds
    length = min(len(left.values), len(right.values))
    np.testing.assert_array_equal(sound * 32768, np.stack([left.values[:length], right.values[:length]], axis=1))


def test_several_pairs_of_a_name_stay_apart(tmp_path):
    names = [("A(L)", 4), ("A(L)", 4), ("A(R)", 2), ("A(R)", 2)]
    sounds = played(tmp_path, [Sample(name, tone(number), kind=kind) for number, (name, kind) in enumerate(names)], [])
    assert [sound.ndim for sound in sounds] == [2, 1, 1]


def test_compressed_samples(tmp_path):
    values = tone(4, 4000)
    samples = [Sample("A", values, (1000, 3000)), Sample("B", tone(5, 4000))]
    zones = [{**STEADY, MODE: 1, SAMPLE: 0}, {SAMPLE: 1}]
    held, plain = played(tmp_path, samples, zones, compressed=True)
    assert (len(held), len(plain)) == (RATE, 4000)
    assert np.abs(held[100:3000] - values[100:3000] / 32768).mean() < 0.02
    np.testing.assert_array_equal(held[1000:3000], held[3000:5000])


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda content: content.replace(b"vorbis", b"vorbus"), "Ogg Vorbis, found damage: "),
        (lambda content: content.replace(b"OggS\0\2", b"RIFF\0\2"), "Ogg Vorbis, found what begins with b'RIFF'"),
    ],
)
def test_damaged_compression_is_refused(tmp_path, damage, reason):
    content = damage(soundfonts.font([Sample("A", tone(4, 4000))], compressed=True))
    with (
        open_font(put(tmp_path, content)) as font,
        pytest.raises(SoundFontError, match=rf"sample 0, 'A': expected {reason}"),
    ):
        font.play(font.sounds()[0], 1.0)


def test_compressed_stereo_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfont.soundfile, "read", lambda *_, **__: (np.zeros((9, 2), np.float32), RATE))
    with pytest.raises(SoundFontError, match=r"expected finite samples of 1 channel, found others, of 2"):
        played(tmp_path, [Sample("A", tone(4, 4000))], [], compressed=True)


def test_chunks_without_padding(tmp_path):
    texts = {b"ICOP": b"odd"}
    (sound,) = played(tmp_path, [Sample("A", tone(1))], [{SAMPLE: 0}], info=texts, pad=False)
    np.testing.assert_array_equal(sound * 32768, tone(1))


def bags(*starts):
    return b"".join(struct.pack("<HH", start, 0) for start in starts)


WHOLE = soundfonts.simple()
DAMAGED = {
    "empty": (b"", r"expected a sound font, found a file that begins with b''"),
    "a wav": (b"RIFF\x24\0\0\0WAVEfmt ", r"expected a sound font, found a file that begins with b'RIFF.*WAVE'"),
    "the first half": (WHOLE[: len(WHOLE) // 2], r"expected a chunk 'LIST' of \d+ bytes, found \d+ to the end"),
    "no presets": (WHOLE[: WHOLE.index(b"pdta") - 8], r"expected samples .* and presets .*, found only"),
    "a short RIFF": (WHOLE[:4] + struct.pack("<I", 40) + WHOLE[8:], r"expected a chunk 'LIST'"),
    "a huge chunk": (WHOLE.replace(b"igen", b"igen\xff\xff\xff\xff"), r"expected a chunk 'igen' of 4294967295 bytes"),
    "many chunks": (
        soundfonts.chunk(b"RIFF", b"sfbk" + soundfonts.chunk(b"JUNK", b"") * 300),
        r"expected at most 256 chunks in a list, found more",
    ),
    "no table": (WHOLE.replace(b"shdr", b"none"), r"expected 1 to 65537 whole records of 46 bytes in shdr, found 0"),
    **{
        text: (soundfonts.font([Sample("A", tone(1))], [Instrument("I", [{SAMPLE: 0}])], tables=tables), reason)
        for text, tables, reason in [
            ("part of a record", {b"shdr": bytes(50)}, r"whole records of 46 bytes in shdr, found 50 bytes"),
            ("an empty table", {b"inst": b""}, r"whole records of 22 bytes in inst, found 0 bytes"),
            ("a long table", {b"igen": bytes(4 * 65_538)}, r"whole records of 4 bytes in igen, found 262152 bytes"),
            ("falling bags", {b"ibag": bags(1, 0)}, r"expected rising numbers up to 2 in ibag, found others"),
            ("bags beyond", {b"ibag": bags(0, 9)}, r"expected rising numbers up to 2 in ibag"),
            ("zones beyond", {b"inst": struct.pack("<20sH20sH", b"I", 0, b"EOI", 7)}, r"up to 1 in inst"),
            ("a sample beyond", {b"igen": struct.pack("<HHHH", SAMPLE, 65535, 0, 0)}, r"below 1 in igen, found 65535"),
        ]
    },
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_font_is_one_clear_error(tmp_path, damage):
    content, reason = DAMAGED[damage]
    with pytest.raises(SoundFontError, match=rf"font\.sf2: .*{reason}"), open_font(put(tmp_path, content)):
        pass


def test_an_instrument_beyond_the_last_is_refused(tmp_path):
    content = soundfonts.font([Sample("A", tone(1))], [], [Preset("P", [{INSTRUMENT: 0}])])
    with (
        pytest.raises(SoundFontError, match=r"expected numbers below 0 in pgen, found 0"),
        open_font(put(tmp_path, content)),
    ):
        pass


@pytest.mark.parametrize("path", ["missing.sf2", "."])
def test_what_is_no_file_is_refused(tmp_path, path):
    with (
        pytest.raises(AudioError, match="expected a sound file, found none that can be opened"),
        open_font(tmp_path / path),
    ):
        pass


@pytest.mark.parametrize(
    ("sample", "reason"),
    [
        (Sample("A", tone(1), kind=0x8001), "a sample in the file, found one in the ROM of a sound card"),
        (Sample("A", tone(1), changes={"end": 4_000_000_000}), "a place within 0 to 846, found 0 to 4000000000"),
        (Sample("A", tone(1), changes={"start": 500, "end": 400}), "a place within 0 to 846, found 500 to 400"),
        (Sample("A", tone(1), changes={"end": 0}), "a place within 0 to 846, found 0 to 0"),
        (Sample("A", tone(1), rate=0), "a rate of 1000 to 384000 Hz, found 0 Hz"),
        (Sample("A", tone(1), rate=4_000_000_000), "a rate of 1000 to 384000 Hz, found 4000000000 Hz"),
        (Sample("A", tone(1, 7)), "at least 1 ms of sound, found 7 samples at 8000 Hz"),
        (Sample("A", tone(1), kind=0x11), "Ogg Vorbis, found what begins with b'"),
    ],
)
def test_a_sample_that_cannot_be_is_refused_by_name(tmp_path, sample, reason):
    with pytest.raises(SoundFontError, match=rf"font\.sf2: sample 0, 'A': expected {reason}"):
        played(tmp_path, [sample], [{SAMPLE: 0}])


@pytest.mark.parametrize("loop", [(0, 0), (700, 300), (-1, 300), (0, 801), (300, 301), (2**31, 2**31 + 9), (900, 950)])
def test_a_loop_outside_its_sample_is_refused(tmp_path, loop):
    lies = {"first": loop[0] % 2**32, "last": loop[1] % 2**32}
    reason = r"sample 0, 'A': expected a loop of at least 2 samples within its 800, found -?\d+ to"
    with pytest.raises(SoundFontError, match=reason):
        played(tmp_path, [Sample("A", tone(1), changes=lies)], [{MODE: 1, SAMPLE: 0}])


def test_what_is_read_at_once_is_bounded(tmp_path, monkeypatch):
    monkeypatch.setattr(soundfont, "MOST_SAMPLES", 500)
    for compressed in (False, True):
        with pytest.raises(SoundFontError, match=r"expected at most 500 samples, found more"):
            played(tmp_path, [Sample("A", tone(1))], [{SAMPLE: 0}], compressed=compressed)


def test_settings_beyond_all_bounds_are_bounded(tmp_path):
    wild = {ATTACK: 32767, HOLD: 32767, DECAY: -32768, SUSTAIN: -32768, MODE: 1, SAMPLE: 0}
    outer = [{ATTACK: 32767, SUSTAIN: -32768, INSTRUMENT: 0}]
    (sound,) = played(tmp_path, [Sample("A", tone(1), (0, 800))], [wild], outer)
    assert np.isfinite(sound).all()
    assert np.abs(sound).max() <= 1


@pytest.mark.parametrize("seed", range(200))
def test_flipped_bytes_never_crash(tmp_path, seed):
    rng = np.random.default_rng(seed)
    content = bytearray(WHOLE)
    tables = content.index(b"pdta")
    for place in [*rng.integers(0, len(content), 2), *rng.integers(tables, len(content), 4)]:
        content[place] = rng.integers(256)
    with contextlib.suppress(SoundFontError), open_font(put(tmp_path, bytes(content))) as font:
        for sound in font.sounds():
            with contextlib.suppress(SoundFontError):
                assert np.isfinite(font.play(sound, 0.1)).all()
