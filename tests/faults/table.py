"""The corpus: one line per fault, with the verdict that it must get.

A row is (name, what it holds, verdict). The verdict is the seconds of a sound that is used, or a pattern that the
reason for skipping it must match; None is left out without a word. Names are bytes where they are not UTF-8.
"""

import os
import struct

import numpy as np

from faults.builders import (
    CONCAT_SCRIPT,
    PLAYLIST,
    PNG,
    RESOURCE_FORK,
    after_silence,
    coded,
    cut,
    cut_track,
    dither,
    encode,
    fifo,
    flac_claiming,
    folder,
    later,
    link,
    link_to_outside,
    ogg_in_wav,
    patched,
    pictures,
    silence,
    sound,
    sparse,
    tone,
    track,
    unreadable,
    variable,
    wav_header,
    wav_of,
    with_id3,
    wrecked,
)

NO_FORMAT = r"libsndfile says: Format not recognised"
NOT_OPENED = "found none that can be opened: "
TWIN = "same content as another file of the dataset"
AS_ROOT = hasattr(os, "geteuid") and os.geteuid() == 0  # whom no permission stops

FAULTS = [
    # nothing, or something else, under a sound's name
    ("empty.wav", b"", NO_FORMAT),
    ("empty.mp3", b"", NO_FORMAT),
    ("header only.wav", sound("WAV")[:44], "found an empty file"),
    ("header only.flac", sound("FLAC")[:42], "found an empty file"),
    ("header only.ogg", sound("OGG")[:60], "libsndfile says"),
    ("half a header.wav", sound("WAV")[:20], "libsndfile says"),
    ("one sample.wav", encode(tone(1)[:1], "WAV"), "at least 1 ms of sound"),
    ("text.wav", b"This is not a sound.\n" * 50, NO_FORMAT),
    ("text.flac", b"This is not a sound.\n" * 50, NO_FORMAT),
    ("picture.wav", PNG, NO_FORMAT),
    ("zeros.wav", bytes(50_000), NO_FORMAT),
    ("all-zero.mp3", bytes(50_000), NO_FORMAT),
    ("noise.ogg", np.random.default_rng(0).bytes(20_000), NO_FORMAT),
    ("playlist.wav", PLAYLIST, NO_FORMAT),
    ("concat script.wav", CONCAT_SCRIPT, NO_FORMAT),
    ("archive.aiff", b"PK\3\4" + bytes(2000), NO_FORMAT),
    ("._resource fork.wav", RESOURCE_FORK, None),
    ("._no fork.wav", sound("WAV", seconds=0.65), 0.65),
    ("._.DS_Store", RESOURCE_FORK, None),
    (".DS_Store", b"\0\0\0\1Bud1" + bytes(2000), None),
    ("Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(2000), None),
    ("desktop.ini", b"[.ShellClassInfo]\r\n", None),
    ("__MACOSX/kick.wav", RESOURCE_FORK, None),
    ("@eaDir/kick.wav", b"thumbnail", None),
    ("matlab.wav", encode(tone(2), "MAT5"), "found MAT5"),
    # another format than the name says is still a sound
    ("mp3 called.wav", sound("MP3", seconds=0.4), 0.4),
    ("flac called.mp3", sound("FLAC", seconds=0.41), 0.41),
    ("ogg in a wav.wav", ogg_in_wav(0.43), 0.43),
    ("ogg in a wav called.ogg", ogg_in_wav(0.44), 0.44),
    ("LOUD NAME.WAV", sound("WAV", seconds=0.42), 0.42),
    # damaged: used as far as the decoder is sure of it
    ("truncated.wav", cut(sound("WAV", seconds=0.5), 0.5), 0.25),
    ("truncated.aiff", cut(sound("AIFF", seconds=0.5), 0.5), 0.25),
    ("truncated.flac", cut(sound("FLAC", seconds=1), 0.5), "flac decoder lost sync"),
    ("truncated.ogg", cut(sound("OGG", seconds=3), 0.5), (0.3, 2.5)),
    ("truncated.mp3", cut(sound("MP3", seconds=3), 0.5), (1.0, 2.0)),
    ("corrupt.wav", wrecked(sound("WAV", seconds=0.51)), 0.51),
    ("corrupt.flac", wrecked(sound("FLAC", seconds=1.1)), "flac decoder lost sync"),
    ("corrupt.ogg", wrecked(sound("OGG", seconds=3.1)), (0.3, 3.1)),
    ("corrupt.mp3", wrecked(sound("MP3", seconds=3.1)), (1.0, 3.2)),
    ("corrupt.opus", wrecked(sound("OGG", "OPUS", 48_000, seconds=3)), (0.3, 3.1)),
    # headers that claim what is not there
    ("4 GB.wav", patched(patched(sound("WAV", seconds=0.43), 4, b"\xff" * 4), 40, b"\xff" * 4), 0.43),
    ("256 GiB.flac", flac_claiming(2**36 - 1), 0.25),
    ("unknown length.flac", flac_claiming(0), 0.25),
    ("no data size.wav", patched(sound("WAV", seconds=0.44), 40, bytes(4)), 0.44),
    ("half the data size.wav", patched(sound("WAV", seconds=0.47), 40, struct.pack("<I", 20_000)), 0.47),
    ("joined.mp3", sound("MP3", seconds=0.3) + sound("MP3", seconds=0.35), (0.64, 0.7)),
    ("joined.ogg", sound("OGG", seconds=0.3) + sound("OGG", seconds=0.35), 0.65),
    ("joined.opus", 2 * sound("OGG", "OPUS", 48_000, seconds=0.3), 0.6),
    ("joined rates.ogg", sound("OGG") + sound("OGG", rate=48_000), r"2 that were joined \(0.2 s \+ 0.2 s\)"),
    ("joined and cut.ogg", sound("OGG") + sound("OGG", seconds=0.3)[:80], "only the first 0.2 s can be decoded"),
    ("joined.flac", sound("FLAC", seconds=0.3) + sound("FLAC", seconds=0.36), 0.66),
    ("joined rates.flac", sound("FLAC") + sound("FLAC", rate=48_000), r"2 that were joined \(0.2 s \+ 0.2 s\)"),
    ("joined and cut.flac", sound("FLAC") + sound("FLAC", seconds=0.34)[:60], "joined, of which only the first 0.2 s"),
    ("no sizes.aiff", patched(patched(sound("AIFF", seconds=0.67), 4, bytes(4)), 42, bytes(4)), 0.67),
    ("half the size.aiff", patched(sound("AIFF", seconds=0.68), 42, struct.pack(">I", 30_000)), 0.68),
    ("variable and uncounted.mp3", variable(3.0), (2.9, 3.2)),
    ("0 channels.wav", wav_header(channels=0), "libsndfile says"),
    ("1024 channels.wav", wav_header(channels=1024, data=bytes(1024 * 2 * 50)), "1 to 64 channels, found 1024"),
    ("65535 channels.wav", wav_header(channels=65535), "libsndfile says"),
    ("65 channels.wav", wav_header(channels=65, data=bytes(65 * 2 * 50)), "1 to 64 channels, found 65"),
    ("0 Hz.wav", wav_header(rate=0), r"libsndfile says|found 0 Hz"),
    ("1 Hz.wav", wav_header(rate=1), "1000 to 384000 Hz, found 1 Hz"),
    ("4 GHz.wav", wav_header(rate=2**32 - 1), "libsndfile says|found .* Hz"),
    ("0 bits.wav", wav_header(bits=0), "libsndfile says"),
    ("giant tag.mp3", with_id3(sound("MP3", seconds=0.45), 5_000_000), 0.45),
    ("tag beyond the end.mp3", with_id3(b"", 2_000_000)[:2000], "libsndfile says"),
    ("sparse.wav", sparse(sound("WAV", seconds=0.46), 64 << 30), "at most 16 GiB, found 64.0 GiB; cut it"),
    ("sparse.mp3", sparse(b"", 8 << 30), NO_FORMAT),
    (
        "half a million chunks.wav",
        sound("WAV")[:36] + 500_000 * b"junk\2\0\0\0ab" + sound("WAV")[36:],
        "No 'data' chunk",
    ),
    # samples that are no sound, or hardly
    ("NaN.wav", wav_of(float("nan")), "found NaN or infinity"),
    ("infinity.wav", wav_of(float("inf")), "found NaN or infinity"),
    ("1e30.wav", wav_of(1e30), r"near full scale \(1\), found 1e\+30"),
    ("float of 16 bits.wav", wav_of(32768.0), 0.25),
    ("silence.wav", silence("WAV"), "expected sound, found silence$"),
    ("silence.mp3", silence("MP3"), "expected sound, found silence$"),
    ("dither.wav", encode(dither(0.3), "WAV"), "expected sound, found silence$"),
    ("a minute of silence.flac", later(silence, "FLAC", 60.0), "expected sound, found silence$"),
    ("an hour of silence.flac", later(silence, "FLAC", 3600.0), "expected sound, found silence in its first 600 s"),
    ("a sound after 20 s.flac", later(after_silence, "FLAC", 20.0), 20.25),
    ("very quiet.wav", encode(2e-4 * tone(7), "WAV", "FLOAT"), 0.25),
    # every width, rate and number of channels
    ("8 bit.wav", sound("WAV", "PCM_U8"), 0.25),
    ("16 bit.wav", sound("WAV", "PCM_16"), 0.25),
    ("24 bit.wav", sound("WAV", "PCM_24"), 0.25),
    ("32 bit.wav", sound("WAV", "PCM_32"), 0.25),
    ("float.wav", sound("WAV", "FLOAT"), 0.25),
    ("double.wav", sound("WAV", "DOUBLE"), 0.25),
    ("adpcm.wav", sound("WAV", "IMA_ADPCM"), (0.24, 0.3)),
    ("u-law.wav", sound("WAV", "ULAW"), 0.25),
    ("sound.caf", sound("CAF"), 0.25),
    ("float.aifc", sound("AIFF", "FLOAT"), 0.25),
    ("24 bit.flac", sound("FLAC", "PCM_24"), 0.25),
    *((f"{rate} Hz.wav", sound("WAV", rate=rate), 0.25) for rate in (8000, 11025, 22050, 48000, 96000, 192000)),
    ("8000 Hz.mp3", sound("MP3", rate=8000), (0.25, 0.4)),
    ("stereo.ogg", sound("OGG", channels=2), 0.25),
    ("sound.opus", sound("OGG", "OPUS", 48_000), 0.25),
    ("64 channels.wav", sound("WAV", channels=64), 0.25),
    ("rf64.wav", sound("RF64"), 0.25),
    # what is no regular file
    ("pipe.wav", fifo, NOT_OPENED + "it is a folder or a special file"),
    ("folder.wav", folder, "found a folder of that name"),
    ("broken link.wav", link("nowhere.wav"), "found a link that leads nowhere"),
    ("looping link.wav", link("looping link.wav"), "found a link that leads nowhere"),
    ("link to a folder", link("."), "found a link to a folder"),
    ("link to outside.wav", link_to_outside, 0.31),
    ("link to a sibling.wav", link("16 bit.wav"), TWIN),
    ("unreadable.wav", unreadable, 0.33 if AS_ROOT else NOT_OPENED + "Permission denied"),
    # names
    (b"not UTF-8 \xff\xfe.wav", sound("WAV", seconds=0.52), 0.52),
    ("new\nline.wav", sound("WAV", seconds=0.53), 0.53),
    ("-rf.wav", sound("WAV", seconds=0.54), 0.54),
    ("$HOME `id` $(id).wav", sound("WAV", seconds=0.55), 0.55),
    ("<img src=x onerror=alert(1)>.wav", sound("WAV", seconds=0.56), 0.56),
    ("x" * 251 + ".wav", sound("WAV", seconds=0.57), 0.57),
    ("caf\u00e9.wav", sound("WAV", seconds=0.58), 0.58),
    ("cafe\u0301.wav", sound("WAV", seconds=0.59), 0.59),
    (".hidden.wav", sound("WAV", seconds=0.6), 0.6),
    ("\u202egpj.wav", sound("WAV", seconds=0.61), 0.61),
    ("a/same name.wav", sound("WAV", seconds=0.62), 0.62),
    ("b/same name.wav", sound("WAV", seconds=0.63), 0.63),
    ("c/same content.wav", sound("WAV", seconds=0.62), TWIN),
]

# Those that PyAV reads; without it all say how to get it.
VIDEO_FAULTS = [
    ("sound.m4a", later(track, "mp4"), (0.3, 0.36)),
    ("sound.aac", later(track, "adts"), (0.3, 0.36)),
    ("truncated.aac", later(cut_track, "adts", 2.0, 0.5), "FFmpeg says"),
    ("truncated.m4a", later(cut_track, "mp4", 2.0, 0.5), "FFmpeg says"),
    ("pictures only.m4a", later(pictures, "mp4"), "found none beside the pictures"),
    ("text.m4a", b"This is not a sound.\n" * 50, "FFmpeg says"),
    ("playlist.m4a", PLAYLIST, "FFmpeg says"),
    ("concat script.aac", CONCAT_SCRIPT, "FFmpeg says"),
    ("wav called.m4a", sound("WAV", seconds=0.64), 0.64),
    ("empty.aac", b"", "FFmpeg says"),
    ("mp3 in a wav.wav", later(coded, "libmp3lame", "wav"), (0.3, 0.4)),
    ("wma in a wav.wav", later(coded, "wmav2", "wav"), (0.27, 0.4)),
    ("wma in a wav called.ogg", later(coded, "wmav2", "wav", 0.4), (0.37, 0.5)),
    ("alac in a caf.caf", later(coded, "alac", "caf"), 0.3),
    ("sound.wma", later(coded, "wmav2", "asf"), (0.27, 0.4)),
    ("sound.wv", later(coded, "wavpack", "wv"), 0.3),
    ("unknown to all.wav", patched(sound("WAV", seconds=0.66), 20, b"\x34\x12"), "an encoding that it does not know"),
]


def build(rows, root) -> None:
    """Write a table's files below a folder that exists."""
    for name, holds, _ in rows:
        path = root / os.fsdecode(name)
        path.parent.mkdir(exist_ok=True)
        if callable(holds):
            holds(path)
        else:
            path.write_bytes(holds)
