"""Decoders: an open file descriptor or path to blocks of samples, within policy.

libsndfile comes first. The optional PyAV follows for the suffixes in `VIDEO`, where that fails, and for encodings in
a wav or caf that it does not know: a file is opened by its absolute path, with no protocol but the file's own and no
format but those named, so that a file named as a sound cannot make FFmpeg open a playlist, other files or a network
address.
"""

import math
import os
from collections.abc import Iterator, Sequence
from importlib import metadata

import numpy as np
import soundfile

from vaelab import VaelabError
from vaelab.audio import joined

VIDEO = (".aac", ".m4a", ".mp4", ".mkv", ".mov", ".avi", ".wma", ".wv")
FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "FLAC", "OGG", "MP3", "CAF", "AU")  # of libsndfile's
FFMPEG_FORMATS = "aac,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,asf,wv"  # for the suffixes above
WAV_FORMATS = (1, 3, 0xFFFE)  # plain numbers: if libsndfile refuses those, the file is damaged
MIN_RATE, MAX_RATE = 1000, 384_000
MAX_CHANNELS = 64


class DecodeError(VaelabError):
    """A file that cannot be decoded: the reason, and what to do; the caller adds the file's name."""


ERRORS = (soundfile.LibsndfileError, DecodeError)


def open_sound(path: str | os.PathLike, handle: int) -> "Source":
    """Open a sound for reading forwards: a context manager with `seek` and `read`.

    The name decides whether PyAV may try; `handle`, a descriptor of the file at its start, stays open.

    Raises:
        DecodeError, soundfile.LibsndfileError: `ERRORS`; `error_text` puts them into words.
    """
    source = _open(path, handle)
    try:
        _check(source)
    except DecodeError:
        source.close()
        raise
    return source


def error_text(error: Exception) -> str:
    """The reason in one of `ERRORS`."""
    if isinstance(error, soundfile.LibsndfileError):
        return f"expected a sound file; libsndfile says: {error.error_string}"
    return str(error)


def version(path: str | os.PathLike) -> str | None:
    """Name and version of the decoder for a file of this name; None if it is not installed."""
    if not _is_video(path):
        return f"libsndfile {soundfile.__libsndfile_version__}"
    try:
        return f"av {metadata.version('av')}"
    except metadata.PackageNotFoundError:
        return None


class ForwardSound(soundfile.SoundFile):
    """A file that libsndfile decodes, read forwards only.

    soundfile seeks after each block of a seekable file, which fails at the true end of a FLAC whose header
    claims more, and pads an Ogg with a hole. `seek` before the first block still works.
    """

    def seekable(self) -> bool:
        """Not between blocks."""
        return False


class JoinedSound:
    """Sounds that were joined in one file, read forwards as one.

    Attributes:
        samplerate: Hz.
        channels: Of each part.
        frames: Samples per channel of all parts.
    """

    def __init__(self, parts: Sequence[ForwardSound]):
        """Join open parts.

        Raises:
            DecodeError: They are of several rates or numbers of channels.
        """
        self._parts = list(parts)
        kinds = [f"{part.samplerate} Hz with {part.channels} channels" for part in parts]
        if other := next((kind for kind in kinds if kind != kinds[0]), None):
            lengths = " + ".join(f"{part.frames / part.samplerate:.1f} s" for part in parts[:8])
            raise DecodeError(
                f"expected one sound, found {len(parts)} that were joined ({lengths}), of {kinds[0]} and of {other}; "
                "cut them apart"
            )
        self.samplerate, self.channels = parts[0].samplerate, parts[0].channels
        self.frames = sum(part.frames for part in parts)
        self._number = 0

    def __enter__(self) -> "JoinedSound":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close all parts; the file stays open."""
        for part in self._parts:
            part.close()

    def seek(self, frame: int) -> None:
        """Go to a sample, counted from the start of the first part."""
        self._number = 0
        while frame >= self._parts[self._number].frames and self._number < len(self._parts) - 1:
            frame -= self._parts[self._number].frames
            self._number += 1
        for number, part in enumerate(self._parts[self._number :]):
            part.seek(0 if number else frame)

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples, float32 (n, channels): n is `frames`, or fewer at the end of a part; 0 at the very end."""
        while True:
            block = self._parts[self._number].read(frames, dtype=dtype, always_2d=always_2d)
            if len(block) or self._number == len(self._parts) - 1:
                return block
            self._number += 1


class VideoSound:
    """The first sound track of a file, read forwards.

    Attributes:
        samplerate: Hz.
        channels: Of the track.
        frames: Samples per channel that the header claims; 0 if it claims none.
    """

    def __init__(self, path: str | os.PathLike, container: str | None = None):
        """Open a file in one of `FFMPEG_FORMATS`, or in the format of FFmpeg's that `container` names."""
        try:
            import av
        except ImportError as error:
            raise DecodeError("expected PyAV to read this format, found none; pip install 'vaelab[video]'") from error
        self._errors = (av.FFmpegError, ValueError)
        try:
            self._container = av.open(
                os.path.abspath(os.fsdecode(path)),
                format=container,
                options={"protocol_whitelist": "file", "format_whitelist": container or FFMPEG_FORMATS},
                metadata_errors="replace",
            )
        except self._errors as error:
            raise DecodeError(f"expected a sound or video file; FFmpeg says: {_ffmpeg_said(error)}") from error
        if not self._container.streams.audio:
            self._container.close()
            raise DecodeError("expected sound, found none beside the pictures")
        self._stream = self._container.streams.audio[0]
        if self._stream.codec_context is None:
            self._container.close()
            raise DecodeError("expected a sound that FFmpeg can decode, found an encoding that it does not know")
        self.samplerate, self.channels = self._stream.rate, self._stream.channels
        self.frames = self._claimed_frames(av.time_base)
        self._begin_at(0)

    def __enter__(self) -> "VideoSound":
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._container.close()

    def seek(self, frame: int) -> None:
        """Go to a sample, counted from the track's start; must come before the first read, or start it over."""
        try:
            time = int(frame / self.samplerate / self._stream.time_base) + (self._stream.start_time or 0)
            self._container.seek(max(0, time), stream=self._stream, backward=True)
        except self._errors as error:
            raise DecodeError(
                f"expected to find {frame / self.samplerate:.2f} s; FFmpeg says: {_ffmpeg_said(error)}"
            ) from error
        self._begin_at(frame)

    def read(self, frames: int, dtype: str = "float32", always_2d: bool = True) -> np.ndarray:
        """The next samples, float32 (n, channels): n is `frames`, or fewer at the end."""
        parts, count = [self._left], len(self._left)
        while count < frames and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            count += len(block)
        samples = np.concatenate(parts)
        self._left = samples[frames:].copy()
        return samples[:frames]

    def _begin_at(self, frame: int) -> None:
        self._skip, self._blocks, self._left = frame, self._decoded(), np.zeros((0, self.channels), np.float32)

    def _claimed_frames(self, ticks_per_second: int) -> int:
        if self._stream.duration is not None:
            return math.ceil(self._stream.duration * self._stream.time_base * self.samplerate)
        return math.ceil((self._container.duration or 0) / ticks_per_second * self.samplerate)

    def _decoded(self) -> Iterator[np.ndarray]:
        """Blocks (n, channels) from `_skip` on; the first packets after a seek lie before it."""
        import av

        to_planes = av.AudioResampler(format="fltp", layout=self._stream.layout, rate=self.samplerate)
        position = None
        try:
            for raw in self._container.decode(self._stream):
                if position is None:
                    position = self._position(raw)
                for frame in to_planes.resample(raw):
                    block = frame.to_ndarray().T
                    fresh = block[max(0, self._skip - position) :]
                    position += len(block)
                    if len(fresh):
                        yield np.ascontiguousarray(fresh, np.float32)
        except self._errors as error:
            raise DecodeError(f"expected a sound track that decodes; FFmpeg says: {_ffmpeg_said(error)}") from error

    def _position(self, frame) -> int:
        """Start of a decoded frame, in samples from the track's start."""
        if frame.pts is None:
            return 0
        return round((frame.pts - (self._stream.start_time or 0)) * frame.time_base * self.samplerate)


Source = ForwardSound | JoinedSound | VideoSound


def _open(path: str | os.PathLike, handle: int) -> Source:
    views = joined.views(handle)
    os.lseek(handle, 0, os.SEEK_SET)
    try:
        return _open_views(views) if views else ForwardSound(handle, closefd=False)
    except soundfile.LibsndfileError:
        container = _foreign(handle)
        if not (container or _is_video(path)):
            raise
    return VideoSound(path, container)


def _foreign(handle: int) -> str | None:
    """FFmpeg's name for the container of an encoding that libsndfile does not know; None of other files."""
    os.lseek(handle, 0, os.SEEK_SET)
    if os.read(handle, 4) == b"caff":
        return "caf"
    return "wav" if joined.wav_format(handle) not in (None, *WAV_FORMATS) else None


def _open_views(views: Sequence[joined.View]) -> ForwardSound | JoinedSound:
    """Open the sounds in a file; a DecodeError says which of several is damaged."""
    parts: list[ForwardSound] = []
    for view in views:
        try:
            parts.append(ForwardSound(view))
            _check(parts[-1])
        except (soundfile.LibsndfileError, DecodeError) as error:
            if not parts:
                raise
            seconds = sum(part.frames / part.samplerate for part in parts)
            raise DecodeError(
                f"expected one sound, found {len(views)} that were joined, of which only the first {seconds:.1f} s can "
                f"be decoded ({error_text(error)}); cut them apart"
            ) from error
    return parts[0] if len(parts) == 1 else JoinedSound(parts)


def _check(source: Source) -> None:
    """Refuse what lies outside of policy. Text and noise can pass for one of libsndfile's headerless oddities."""
    if isinstance(source, ForwardSound) and source.format not in FORMATS:
        raise DecodeError(f"expected a sound file, found {source.format_info}; export it as wav or flac")
    if not MIN_RATE <= source.samplerate <= MAX_RATE:
        raise DecodeError(f"expected a rate of {MIN_RATE} to {MAX_RATE} Hz, found {source.samplerate} Hz")
    if not 1 <= source.channels <= MAX_CHANNELS:
        raise DecodeError(f"expected 1 to {MAX_CHANNELS} channels, found {source.channels}")


def _is_video(path: str | os.PathLike) -> bool:
    return os.fsdecode(path).lower().endswith(VIDEO)


def _ffmpeg_said(error: Exception) -> str:
    """FFmpeg's words without its error number and without the file's name."""
    return getattr(error, "strerror", None) or str(error)
