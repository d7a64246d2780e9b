"""What holds more than its header says is read to its end, at every door."""

import io
import os
import struct
import warnings
from contextlib import suppress

import numpy as np
import pytest
import soundfile
from faults.builders import encode, patched, tone, with_id3

from vaelab import audio, cutting, slicing
from vaelab.audio import built_in_tape, decoders, joined
from vaelab.data import make_dataset

RATE = 8000
CHUNK = b"LIST" + struct.pack("<I", 600) + bytes(600)


def noise(seconds, seed=0, channels=1):
    return 0.1 * np.random.default_rng(seed).standard_normal((round(seconds * RATE), channels)).astype(np.float32)


def wav(samples, claimed=None, riff=None, subtype="PCM_16", after=b""):
    """A wav that claims a share of its data, or so many bytes."""
    body = encode(samples, "WAV", subtype, RATE) + after
    at = body.index(b"data") + 4
    (length,) = struct.unpack_from("<I", body, at)
    if claimed is not None:
        body = patched(body, at, struct.pack("<I", round(length * claimed) if claimed < 1 else claimed))
    return patched(body, 4, struct.pack("<I", (len(body) - 8 if riff is None else riff)))


WAVS = {
    "a quarter": {"claimed": 0.25},
    "a quarter of an odd number": {"claimed": 0.25001},
    "nothing": {"claimed": 0.0, "riff": 0},
    "all ones": {"claimed": 0xFFFFFFFF, "riff": 0xFFFFFFFF},
    "all ones and a good whole": {"claimed": 0xFFFFFFFF},
    "a good part and all ones": {"riff": 0xFFFFFFFF},
}


def lengths(path):
    """Seconds as read, as examined and as sliced."""
    rate = soundfile.info(path).samplerate
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        sliced = slicing.analyse_file(path).seconds
    return len(audio.read(path, rate)) / rate, audio.examine(path).seconds, sliced


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "IMA_ADPCM"])
@pytest.mark.parametrize("kind", WAVS)
@pytest.mark.parametrize("seconds", [3, 21])
def test_a_wav_is_read_to_its_end(tmp_path, kind, subtype, seconds):
    whole, lying = encode(noise(seconds), "WAV", subtype, RATE), wav(noise(seconds), subtype=subtype, **WAVS[kind])
    check_read_to_its_end(tmp_path / "a.wav", whole, lying)


def check_read_to_its_end(path, whole, lying):
    """A file whose header lies is read as the one with a true header is."""
    path.write_bytes(whole)
    expected = audio.read(path, RATE)
    path.write_bytes(lying)
    assert lengths(path) == (len(expected) / RATE,) * 3
    np.testing.assert_array_equal(audio.read(path, RATE), expected)
    np.testing.assert_array_equal(audio.read(path, RATE, 1.5, 1.0), expected[12_000:20_000])


AFTER = {
    "nothing": b"",
    "a chunk": CHUNK,
    "two chunks": CHUNK + b"zzzz" + struct.pack("<I", 700) + bytes(700),
    "a chunk that claims too much": b"LIST" + struct.pack("<I", 10_000) + bytes(5000),
    "an old tag": b"TAG" + bytes(125),
    "a tag with a picture": b"APETAGEX" + bytes(9000),
    "a recipe": b"vlab" + struct.pack("<I", 900) + bytes(900),
}


@pytest.mark.parametrize("kind", AFTER)
@pytest.mark.parametrize("samples", [8000, 8001])
def test_what_other_programs_add_is_no_sound(tmp_path, kind, samples):
    path = tmp_path / "a.wav"
    path.write_bytes(wav(noise(2)[:samples], subtype="PCM_U8", after=AFTER[kind]))
    assert lengths(path) == (samples / RATE,) * 3


def sparse_wav(path, size, claimed, after=b""):
    """A wav of any size, silent but for noise in its last second."""
    head = bytearray(wav(np.zeros((1, 1), np.float32))[:44])
    struct.pack_into("<I", head, 40, claimed % 2**32)
    end = np.round(noise(1, 5)[:, 0] * 32767).astype("<i2")
    with open(path, "wb") as file:
        file.write(head)
        file.seek(size - 2 * RATE)
        file.write(end.tobytes() + after)
    return end / np.float32(32768)


@pytest.mark.parametrize(
    ("gigabytes", "claimed"), [(5, None), (9, None), (5, 0xFFFFFFFF), (5, 0), (3, 0x7FFFF000)], ids=str
)
@pytest.mark.parametrize("after", [b"", CHUNK], ids=["", "chunk"])
def test_a_wav_beyond_four_gigabytes(tmp_path, gigabytes, claimed, after):
    """Its size wrapped, or its writer never knew it; a hole takes no room."""
    path, size = tmp_path / "a.wav", gigabytes << 30
    end = sparse_wav(path, size, size - 44 if claimed is None else claimed, after)
    seconds = (size - 44) / 2 / RATE
    with audio.stream(path) as (rate, frames, _):
        if claimed is None or not after:
            assert (rate, frames) == (RATE, (size - 44) // 2)
        else:
            assert abs(frames - (size - 44) // 2) <= len(CHUNK) // 2
    np.testing.assert_allclose(audio.read(path, RATE, seconds - 1, 1.0), end, atol=1e-6)


def aiff(samples, claimed=None, form=None, subtype="PCM_16", after=b""):
    """An aiff that claims a share of its data, or so many bytes."""
    body = encode(samples, "AIFF", subtype, RATE)
    at = body.index(b"SSND") + 4
    (length,) = struct.unpack_from(">I", body, at)
    body = body[: at + 4 + length] + after  # without the chunk of peaks behind floating-point numbers
    if claimed is not None:
        body = patched(body, at, struct.pack(">I", round(length * claimed) if claimed < 1 else claimed))
    return patched(body, 4, struct.pack(">I", (len(body) - 8 if form is None else form)))


AIFFS = {
    name: {("form" if key == "riff" else key): value for key, value in kind.items()} for name, kind in WAVS.items()
}


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24", "FLOAT", "DOUBLE", "ULAW"])
@pytest.mark.parametrize("kind", AIFFS)
@pytest.mark.parametrize("seconds", [3, 21])
def test_an_aiff_is_read_to_its_end(tmp_path, kind, subtype, seconds):
    whole, lying = encode(noise(seconds), "AIFF", subtype, RATE), aiff(noise(seconds), subtype=subtype, **AIFFS[kind])
    check_read_to_its_end(tmp_path / "a.aiff", whole, lying)


@pytest.mark.parametrize(
    "after",
    [b"NAME" + struct.pack(">I", 600) + bytes(600), 2 * (b"zzzz" + struct.pack(">I", 700) + bytes(700))],
    ids=["a name", "two chunks"],
)
def test_what_other_programs_add_to_an_aiff_is_no_sound(tmp_path, after):
    (tmp_path / "a.aiff").write_bytes(aiff(noise(2), after=after))
    assert lengths(tmp_path / "a.aiff") == (2.0,) * 3


def test_an_aiff_beyond_four_gigabytes(tmp_path):
    """Its size wrapped; a hole takes no room."""
    path, size = tmp_path / "a.aiff", 5 << 30
    head = aiff(np.zeros((1, 1), np.float32), claimed=(size - 46) % 2**32)[:54]
    end = np.round(noise(1, 5)[:, 0] * 32767).astype(">i2")
    with open(path, "wb") as file:
        file.write(head)
        file.seek(size - 2 * RATE)
        file.write(end.tobytes())
    with audio.stream(path) as (rate, frames, _):
        assert (rate, frames) == (RATE, (size - 54) // 2)
    samples = audio.read(path, RATE, (size - 54) / 2 / RATE - 1, 1.0)
    np.testing.assert_allclose(samples, end / np.float32(32768), atol=1e-6)


def variable_mp3(samples, rate, counted):
    """An mp3 of a variable bit rate, with or without the first frame that says how long it is."""
    buffer = io.BytesIO()
    how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.5}
    with soundfile.SoundFile(buffer, "w", rate, samples.shape[1], **how) as file:
        file.write(samples)
    body = buffer.getvalue()
    return body if counted else body[joined._frame_length(body[:4]) :]


@pytest.mark.parametrize("rate", [44100, 22050, 8000])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("loud_first", [True, False])
def test_an_mp3_of_variable_rate_that_does_not_say_its_length(tmp_path, rate, channels, loud_first):
    """A decoder expects what the first frame's rate makes of the file's size: too little, or too much."""
    path, silence = tmp_path / "a.mp3", np.zeros((8 * rate, channels), np.float32)
    loud = 0.3 * np.random.default_rng(1).standard_normal((8 * rate, channels)).astype(np.float32)
    samples = np.concatenate([loud, silence, loud[: rate // 2]] if loud_first else [silence, loud])
    path.write_bytes(variable_mp3(samples, rate, counted=True))
    expected = audio.read(path, rate)
    for body in (variable_mp3(samples, rate, counted=False), with_id3(variable_mp3(samples, rate, False), 3000)):
        path.write_bytes(body)
        read = audio.read(path, rate)
        assert 0 <= len(read) - len(expected) < 0.2 * rate  # what the missing frame says of the encoder's delay
        assert lengths(path) == (len(read) / rate,) * 3
        with audio.stream(path) as (_, frames, _):
            assert frames == len(read)
    late = audio.read(path, rate, len(read) / rate - 1)
    # libmpg123 lacks bits of earlier frames after a jump, here as in files that say their length.
    assert np.mean(np.abs(late - read[-len(late) :]) < 1e-3) > 0.95


JOINED = [("MP3", None, ".mp3", 44100), ("MP3", None, ".mp3", 22050), ("OGG", "VORBIS", ".ogg", 44100)]
JOINED += [("OGG", "OPUS", ".opus", 48000), ("FLAC", "PCM_16", ".flac", 44100), ("FLAC", "PCM_24", ".flac", 22050)]


@pytest.mark.parametrize(("container", "subtype", "suffix", "rate"), JOINED)
@pytest.mark.parametrize("seconds", [(0.2, 0.3), (2.0, 11.0), (3.0, 1.0, 2.0)], ids=str)
@pytest.mark.parametrize("channels", [1, 2])
def test_joined_sounds_are_read_one_after_the_other(tmp_path, container, subtype, suffix, rate, seconds, channels):
    bodies, expected = [], []
    for number, length in enumerate(seconds):
        bodies.append(encode(tone(number, length, rate, channels), container, subtype, rate))
        (tmp_path / "part").write_bytes(bodies[-1])
        expected.append(audio.read(tmp_path / "part", rate))
    lengths_of_parts = [len(part) for part in expected]
    path, expected = tmp_path / f"a{suffix}", np.concatenate(expected)
    path.write_bytes(b"".join(bodies))
    np.testing.assert_array_equal(audio.read(path, rate), expected)
    with audio.stream(path) as (_, frames, blocks):
        assert frames == len(expected)
        np.testing.assert_array_equal(np.concatenate(list(blocks)), expected)
    at = sum(lengths_of_parts[:-1])
    np.testing.assert_allclose(audio.read(path, rate, at / rate), expected[at:], atol=1e-6)
    assert audio.examine(path).seconds == len(expected) / rate
    assert lengths(path)[2] == pytest.approx(len(expected) / rate, abs=1e-6)


def test_tags_between_and_behind_mp3s(tmp_path):
    first, second = (encode(tone(seed, 2.0, 44100), "MP3", rate=44100) for seed in (1, 2))
    path = tmp_path / "a.mp3"
    for body, seconds in (
        (with_id3(first, 5000) + with_id3(second, 200_000), 4),
        (first + b"TAG" + bytes(125) + second, 4),
        (first + b"TAG" + bytes(125), 2),
        (first + b"APETAGEX" + bytes(50_000), 2),
        (first + bytes(3000), 2),
    ):
        path.write_bytes(body)
        assert audio.examine(path).seconds == pytest.approx(seconds, abs=0.06)


def test_an_mp3_without_a_first_frame_that_counts(tmp_path):
    """Its decoder goes on by itself."""
    buffer = io.BytesIO()
    soundfile.write(buffer, tone(1, 2.0), 44100, format="MP3", bitrate_mode="CONSTANT")
    (tmp_path / "a.mp3").write_bytes(2 * buffer.getvalue().replace(b"Info", bytes(4)))
    assert len(audio.read(tmp_path / "a.mp3", 44100)) / 44100 == pytest.approx(4, abs=0.2)


def test_joined_rates_are_refused_with_both_lengths(tmp_path):
    path = tmp_path / "a.mp3"
    path.write_bytes(encode(tone(1, 2.0, 44100), "MP3", rate=44100) + encode(tone(2, 3.0, 48000), "MP3", rate=48000))
    refusal = r"found 2 that were joined \(2\.0 s \+ 3\.0 s\), of 44100 Hz with 1 channels and of 48000 Hz"
    for door in (lambda: audio.read(path, 44100), lambda: audio.examine(path), lambda: slicing.slice_file(path)):
        with pytest.raises(audio.AudioError, match=refusal):
            door()


def test_a_joined_tape_is_sliced_to_its_end(tmp_path):
    bodies = [encode(built_in_tape.perform(10, seed, 16000).samples, "MP3", rate=16000) for seed in (1, 2)]
    (tmp_path / "tape.mp3").write_bytes(b"".join(bodies))
    cut, _ = cutting.cut_tape(tmp_path / "tape.mp3", tmp_path / "cut")
    assert cut.seconds == pytest.approx(20, abs=0.1)
    assert cut.segments[-1].start > 15
    dataset = make_dataset([tmp_path], "d", home=tmp_path / "home", progress=False)
    (tape,) = [entry for entry in dataset.entries if entry.path == "tape.mp3"]
    assert tape.seconds == pytest.approx(20, abs=0.1)


def test_hostile_lengths_end(tmp_path):
    """Every position patched with every kind of length: an error or a sound, at once."""
    path = tmp_path / "a"
    for container in ("WAV", "OGG", "MP3", "FLAC", "AIFF"):
        body = encode(tone(3), container) + encode(tone(4), container)
        for position in [*range(0, 100, 2), *range(len(body) // 2 - 50, len(body) // 2 + 50, 3)]:
            path.write_bytes(patched(body, position, b"\xff\xff\xff\x7f"))
            with open(path, "rb") as file:
                views = joined.views(file.fileno())
            assert len(views) <= 3
            with suppress(audio.AudioError):
                audio.examine(path)


def test_a_view_is_a_file(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(100)))
    with open(tmp_path / "a", "rb") as file:
        view = joined.View(file.fileno(), 10, 20, b"head")
        assert view.read() == b"head" + bytes(range(10, 20))
        assert view.seek(-3, os.SEEK_END) == 11
        assert view.read(9) == bytes([17, 18, 19])
        view.seek(2)
        assert view.read(4) == b"ad" + bytes([10, 11])
        assert (view.seek(1, os.SEEK_CUR), view.tell(), view.readable(), view.seekable()) == (7, 7, True, True)


def test_the_usual_files_are_opened_as_they_are(tmp_path):
    for container in ("WAV", "OGG", "MP3", "FLAC", "AIFF", "RF64"):
        path = tmp_path / container
        path.write_bytes(encode(tone(1), container))
        with open(path, "rb") as file:
            assert joined.views(file.fileno()) == []
            with decoders.open_sound(path, file.fileno()) as source:
                assert isinstance(source, decoders.ForwardSound)
