"""Sounds as MP3, the format that every browser decodes, as many as a page has room for."""

import io
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import soundfile

from vaelab import audio
from vaelab.sharing.origins import SharingError

RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)  # Hz, that MP3 has
QUALITY = 0.5  # soundfile's compression_level of VBR: about 64 kb/s for a mono sound at 44.1 kHz


def base64_size(count: int) -> int:
    """Characters of so many bytes in base64."""
    return 4 * -(-count // 3)


def mp3(samples: np.ndarray, sample_rate: int) -> bytes:
    """Samples (samples,) as an MP3, at the lowest of its rates that keeps all that is in them, Hz.

    Raises:
        SharingError: libsndfile has no MP3 here.
    """
    if "MP3" not in soundfile.available_formats():
        raise SharingError("mp3: expected a libsndfile of version 1.1 or newer, found an older one; update soundfile")
    rate = next((rate for rate in RATES if rate >= sample_rate), RATES[-1])
    written = io.BytesIO()
    soundfile.write(
        written,
        np.clip(audio.resampled(samples, sample_rate, rate), -1, 1),
        rate,
        format="MP3",
        subtype="MPEG_LAYER_III",
        compression_level=QUALITY,
        bitrate_mode="VARIABLE",
    )
    return written.getvalue()


def fitting(
    numbers: Iterable[int], encoded: Callable[[int], bytes], room: int
) -> tuple[dict[int, bytes], dict[int, str]]:
    """The first sounds that fit into so many characters of base64, by number; and why some could not be read.

    Args:
        numbers: Of the sounds, the most wanted first.
        encoded: The MP3 of a number; an AudioError passes over it.
        room: Characters.
    """
    chosen: dict[int, bytes] = {}
    failed: dict[int, str] = {}
    for number in numbers:
        try:
            sound = encoded(number)
        except audio.AudioError as error:
            failed[number] = str(error)
            continue
        room -= base64_size(len(sound)) + 3  # its quotes and a comma
        if room < 0:
            break
        chosen[number] = sound
    return chosen, failed


def spread_out(places: np.ndarray) -> Iterator[int]:
    """The numbers of places (n, 2) of a map, each the farthest from all before it: any few of them cover the map."""
    if not len(places):
        return
    number = int(np.argmin(np.linalg.norm(places - places.mean(axis=0)[None], axis=1)))
    distances = np.full(len(places), np.inf)
    for _ in range(len(places)):
        yield number
        distances = np.minimum(distances, np.linalg.norm(places - places[number][None], axis=1))
        distances[number] = -1  # of places that coincide each comes once
        number = int(np.argmax(distances))
