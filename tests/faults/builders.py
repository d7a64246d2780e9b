"""What odd sound files are made of. A builder returns the bytes of a file, or a function that puts it in place."""

import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile

RATE = 44100


def tone(seed: int, seconds: float = 0.25, rate: int = RATE, channels: int = 1) -> np.ndarray:
    """A decaying tone with noise, float32 (samples, channels): another content for each seed."""
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * rate))[:, None] / rate
    clean = np.sin(2 * np.pi * rng.uniform(100, 400) * time) * np.exp(-4 * time)
    return (0.5 * clean + 0.01 * rng.standard_normal((len(time), channels))).astype(np.float32)


def encode(samples: np.ndarray, container: str, subtype: str | None = None, rate: int = RATE) -> bytes:
    """Samples as the bytes of a file."""
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, rate, format=container, subtype=subtype)
    return buffer.getvalue()


def sound(container: str, subtype: str | None = None, rate: int = RATE, channels: int = 1, seconds: float = 0.25):
    """A healthy sound; its content depends on all that is asked for."""
    seed = zlib.crc32(repr((container, subtype, rate, channels, seconds)).encode())
    return encode(tone(seed, seconds, rate, channels), container, subtype, rate)


def silence(container: str, seconds: float = 0.25) -> bytes:
    return encode(np.zeros(round(seconds * RATE), np.float32), container)


def dither(seconds: float) -> np.ndarray:
    """What is left of silence in 16 bits: some last bits."""
    return np.random.default_rng(1).integers(-1, 2, round(seconds * RATE)).astype(np.float32) / 32768


def after_silence(container: str, seconds: float) -> bytes:
    """A sound of a quarter of a second that begins late."""
    return encode(np.concatenate([np.zeros((round(seconds * RATE), 1), np.float32), tone(9)]), container)


def ogg_in_wav(seconds: float) -> bytes:
    """Ogg Vorbis behind the header of a wav, as some synthesisers keep their samples."""
    ogg = encode(tone(round(100 * seconds), seconds), "OGG")
    form = struct.pack("<HHIIHHHII", 0x674F, 1, RATE, 11000, 1, 16, 8, 0x20020201, 0x20011231)
    body = b"WAVEfmt " + struct.pack("<I", len(form)) + form + b"data" + struct.pack("<I", len(ogg)) + ogg
    return b"RIFF" + struct.pack("<I", len(body)) + body


def wav_of(value: float) -> bytes:
    """A float wav in which one sample has this value."""
    samples = tone(zlib.crc32(str(value).encode()))
    samples[1000] = value
    return encode(samples, "WAV", "FLOAT")


def variable(seconds: float) -> bytes:
    """An mp3 of noise and then silence, of a variable bit rate, without the first frame that would say its length."""
    buffer, rng = io.BytesIO(), np.random.default_rng(3)
    samples = 0.3 * rng.standard_normal(round(seconds * RATE)).astype(np.float32)
    samples[len(samples) // 3 : -1000] = 0
    how = {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "VARIABLE", "compression_level": 0.5}
    with soundfile.SoundFile(buffer, "w", RATE, 1, **how) as file:
        file.write(samples)
    body = buffer.getvalue()
    return body[body.index(b"\xff\xfb", 4) :]


def cut(content: bytes, share: float) -> bytes:
    """The first part of a file."""
    return content[: int(len(content) * share)]


def wrecked(content: bytes) -> bytes:
    """A file whose middle was overwritten with noise."""
    middle, damage = len(content) // 2, min(500, len(content) // 4)
    return content[:middle] + np.random.default_rng(0).bytes(damage) + content[middle + damage :]


def patched(content: bytes, offset: int, new: bytes) -> bytes:
    return content[:offset] + new + content[offset + len(new) :]


def wav_header(channels: int = 1, rate: int = RATE, bits: int = 16, data: bytes = b"\0\1" * 4000) -> bytes:
    """A wav with any header, whether it makes sense or not."""
    block = channels * bits // 8
    form = struct.pack("<HHIIHH", 1, channels, rate, rate * block % 2**32, block % 2**16, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", len(data)) + data
    return b"RIFF" + struct.pack("<I", len(body)) + body


def flac_claiming(samples: int) -> bytes:
    """A quarter of a second of flac whose header claims any number of samples (36 bits)."""
    content = encode(tone(samples % 1000), "FLAC")
    return patched(content, 21, bytes([content[21] & 0xF0 | samples >> 32]) + struct.pack(">I", samples & 0xFFFFFFFF))


def with_id3(content: bytes, size: int) -> bytes:
    """An mp3 behind an ID3 tag of any size."""
    length = bytes(size >> shift & 127 for shift in (21, 14, 7, 0))
    return b"ID3\x04\x00\x00" + length + bytes(size) + content


def later(function: Callable[..., bytes], *arguments) -> Callable[[Path], None]:
    """Put the bytes that a function returns in place once they are needed."""
    return lambda path: path.write_bytes(function(*arguments)) and None


def sparse(content: bytes, size: int) -> Callable[[Path], None]:
    """A file of any size that takes no room: its content, and a hole."""

    def place(path: Path) -> None:
        path.write_bytes(content)
        os.truncate(path, size)

    return place


def link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def link_to_outside(path: Path) -> None:
    outside = path.parent.parent / "outside.wav"
    outside.write_bytes(sound("WAV", seconds=0.31))
    path.symlink_to(outside)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def folder(path: Path) -> None:
    path.mkdir()
    (path / "inside.wav").write_bytes(sound("WAV", seconds=0.32))


def unreadable(path: Path) -> None:
    path.write_bytes(sound("WAV", seconds=0.33))
    path.chmod(0)


def track(container: str, seconds: float = 0.3) -> bytes:
    """A sound as PyAV writes it."""
    return encoded(tone(zlib.crc32(repr((container, seconds)).encode()), seconds), "aac", container)


def encoded(samples: np.ndarray, codec: str, container: str) -> bytes:
    """Samples (samples, channels) at RATE, in one of FFmpeg's codecs and containers."""
    import av

    buffer = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[samples.shape[1]]
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=RATE, layout=layout)
        stream.bit_rate = 64_000 * samples.shape[1]
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.T), format="fltp", layout=layout)
        frame.sample_rate = RATE
        coder = stream.codec_context
        coder.open()
        convert = av.AudioResampler(coder.codec.audio_formats[0].name, layout, RATE, coder.frame_size or None)
        for part in [*convert.resample(frame), *convert.resample(None)]:
            output.mux(stream.encode(part))
        output.mux(stream.encode(None))
    return buffer.getvalue()


def coded(codec: str, container: str, seconds: float = 0.3) -> bytes:
    """A sound in one of FFmpeg's codecs and containers."""
    return encoded(tone(zlib.crc32(repr((codec, container, seconds)).encode()), seconds), codec, container)


def cut_track(container: str, seconds: float, share: float) -> bytes:
    return cut(track(container, seconds=seconds), share)


def pictures(container: str) -> bytes:
    """A video without sound."""
    import av

    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for shade in range(5):
            frame = av.VideoFrame.from_ndarray(np.full((48, 32), 40 * shade, np.uint8), format="yuv420p")
            for packet in stream.encode(frame):
                output.mux(packet)
        for packet in stream.encode(None):
            output.mux(packet)
    return buffer.getvalue()


RESOURCE_FORK = b"\0\5\x16\7\0\2\0\0Mac OS X" + bytes(4000)
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\10\2\0\0\0\x90wS\xde" + bytes(400)
PLAYLIST = b"#EXTM3U\n#EXTINF:10,stolen\nhttp://127.0.0.1:9/secret.wav\nfile:///etc/hostname\n"
CONCAT_SCRIPT = b"ffconcat version 1.0\nfile '/etc/hostname'\nfile 'http://127.0.0.1:9/x.wav'\n"
