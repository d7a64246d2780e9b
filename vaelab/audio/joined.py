"""Files that hold more than their first header says, as views that a decoder reads to their end.

A wav whose sizes wrapped at 4 GiB, or were never filled in, is seen behind a corrected header, and such an aiff behind
one of AU, which needs no size; a wav whose samples are an ogg, as that ogg. An mp3 of changing bit rates that does not
say how long it is, is counted and seen behind a frame that says it. Sounds that were joined end to end (mp3, ogg, flac)
are seen one by one. Sizes and positions are bytes.
"""

import io
import os
import struct
from collections.abc import Iterator
from itertools import pairwise

SLACK, MP3_SLACK = 512, 4096  # less than this behind the samples of a wav, or behind an mp3, is no sound
LAST_CHUNKS = (  # that other programs put behind the samples, also where they claim more than there is
    *(b"LIST", b"id3 ", b"ID3 ", b"bext", b"cue ", b"smpl", b"fact", b"inst", b"acid", b"JUNK", b"junk", b"PAD "),
    *(b"iXML", b"axml", b"cart", b"DISP", b"afsp", b"plst", b"PEAK", b"minf", b"elm1", b"regn", b"umid", b"_PMX"),
    *(b"note", b"vlab", b"APET", b"ID3\3", b"ID3\4"),
)
VORBIS = (0x674F, 0x6750, 0x6751, 0x676F, 0x6770, 0x6771)  # formats of a wav whose samples are an ogg
AIFF_CHUNKS = (
    *(b"COMM", b"FVER", b"MARK", b"INST", b"COMT", b"NAME", b"AUTH", b"(c) ", b"ANNO", b"MIDI", b"AESD", b"APPL"),
    *(b"SAXL", b"ID3 ", b"CHAN", b"basc", b"trns", b"cate", b"FLLR", b"PEAK", b"LIST"),
)
AU_ENCODINGS = {  # by an aiff's compression and bits of a sample; all big-endian, as in an aiff
    **{(kind, bits): bits // 8 + 1 for kind in (b"NONE", b"twos") for bits in (8, 16, 24, 32)},
    **{(b"fl32", 32): 6, (b"FL32", 32): 6, (b"fl64", 64): 7, (b"FL64", 64): 7, (b"ulaw", 8): 1, (b"alaw", 8): 27},
}
FLAC_BEGINS = b"fLaC\0\0\0\x22"  # and the first block's header, of 34 bytes
MOST_CHUNKS, MOST_HEADER = 1000, 1 << 20  # of a wav
MOST_PARTS = 10_000
SEARCHED = 1 << 16  # for the next mp3
AT_ONCE = 1 << 20  # of a file that is gone through
WRAP = 1 << 32
DATA64 = struct.Struct("<4sI4s4sIQQQI")  # what an RF64 file begins with
AIFF_COMM = struct.Struct(">HIHHQ4s")  # channels, frames, bits, and the rate's exponent and mantissa; compression
OGG_PAGE = struct.Struct("<4sBB8x4x4x4xB")
BEGINS = 2  # flag of an ogg page
RATES = ((11025, 12000, 8000), None, (22050, 24000, 16000), (44100, 48000, 32000))  # Hz, by version of MPEG
BIT_RATES = {  # kbit/s of layer III; True for MPEG 1
    True: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    False: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}


class View(io.RawIOBase):
    """A stretch of an open file behind a header of its own; the file's position does not matter."""

    def __init__(self, handle: int, start: int, end: int, header: bytes = b""):
        """See the bytes from `start` to `end` of a descriptor, which stays open."""
        self._handle, self._start, self._header = handle, start, header
        self._size, self._at = len(header) + end - start, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place, counted from the header's first byte."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        """The place."""
        return self._at

    def readinto(self, buffer) -> int:
        """Fill a buffer as far as there is something."""
        wanted = max(0, min(len(buffer), self._size - self._at))
        body = self._header[self._at : self._at + wanted]
        while len(body) < wanted:
            more = _at(self._handle, self._start + self._at + len(body) - len(self._header), wanted - len(body))
            if not more:
                break
            body += more
        buffer[: len(body)] = body
        self._at += len(body)
        return len(body)


def views(handle: int) -> list[View]:
    """The sounds in a file, one after the other; none where the file itself can be given to a decoder."""
    size, head = os.fstat(handle).st_size, _at(handle, 0, 12)
    if head[:4] == b"RIFF" and head[8:] == b"WAVE":
        return _wav(handle, size)
    if head[:4] == b"FORM" and head[8:] in (b"AIFF", b"AIFC"):
        return _aiff(handle, size)
    ways = {b"OggS": _ogg_starts, b"fLaC": _flac_starts}
    places = [*ways.get(head[:4], _mp3_starts)(handle, size), size]
    if len(places) > 2:
        return [View(handle, start, end) for start, end in pairwise(places)]
    return [] if len(places) == 2 or head[:4] in ways else _uncounted_mp3(handle, size)


def wav_format(handle: int) -> int | None:
    """The number of the encoding in a wav; None of other files."""
    head = _at(handle, 0, 12)
    if head[:4] not in (b"RIFF", b"RF64") or head[8:] != b"WAVE":
        return None
    place, length = dict(_chunks(handle, 12, os.fstat(handle).st_size)).get(b"fmt ", (0, 0))
    number = _at(handle, place, 2)
    return struct.unpack("<H", number)[0] if length >= len(number) == 2 else None


def _at(handle: int, position: int, count: int) -> bytes:
    os.lseek(handle, position, os.SEEK_SET)
    return os.read(handle, count)


def _wav(handle: int, size: int) -> list[View]:
    """A wav behind a corrected header, if its samples go on behind what it claims."""
    places = dict(_chunks(handle, 12, size))
    if b"data" not in places or b"fmt " not in places:
        return []
    start, claimed = places[b"data"]
    if wav_format(handle) in VORBIS and _at(handle, start, 4) == b"OggS":
        return [View(handle, start, min(start + claimed, size))]
    if start + claimed >= size - SLACK or start > MOST_HEADER:
        return []
    end = next((end for end in range(start + claimed, size + 1, WRAP) if _is_end(handle, end, size)), size)
    if end == start + claimed:
        return []
    if end - start < WRAP - MOST_HEADER:
        header = bytearray(_at(handle, 0, start))
        struct.pack_into("<I", header, 4, end - 8)
        struct.pack_into("<I", header, start - 4, end - start)
        return [View(handle, start, end, bytes(header))]
    at, length = places[b"fmt "]
    form = _at(handle, at - 8, 8 + length + length % 2)
    sizes = (DATA64.size - 20, end - start + 1024, end - start, 0, 0)
    head = DATA64.pack(b"RF64", WRAP - 1, b"WAVE", b"ds64", *sizes)
    return [View(handle, start, end, head + form + struct.pack("<4sI", b"data", WRAP - 1))]


def _aiff(handle: int, size: int) -> list[View]:
    """An aiff behind a header without sizes, if its samples go on behind what it claims."""
    places = dict(_chunks(handle, 12, size, ">"))
    start, claimed = places.get(b"SSND", (size, 0))
    ends = range(start + claimed, size + 1, WRAP)
    if b"COMM" not in places or not ends or ends[0] >= size - SLACK:
        return []
    end = next((end for end in ends if _is_end(handle, end, size, AIFF_CHUNKS, ">")), size)
    channels, _, bits, exponent, mantissa, kind = AIFF_COMM.unpack(_at(handle, places[b"COMM"][0], 22).ljust(22, b"\0"))
    kind = kind if places[b"COMM"][1] >= 22 else b"NONE"
    rate = mantissa >> max(0, 16446 - (exponent & 0x7FFF))
    if end == ends[0] or (kind, bits) not in AU_ENCODINGS or rate >= WRAP:
        return []
    header = struct.pack(">4sIIIII", b".snd", 24, WRAP - 1, AU_ENCODINGS[kind, bits], rate, channels)
    return [View(handle, start + 8, end, header)]


def _chunks(handle: int, position: int, size: int, order: str = "<") -> Iterator[tuple[bytes, tuple[int, int]]]:
    """Name, place and claimed length of chunks that can be ones, to that of the samples."""
    for _ in range(MOST_CHUNKS):
        header = _at(handle, position, 8)
        if len(header) < 8 or not header[:4].isascii() or not header[:4].decode("ascii").isprintable():
            return
        length = struct.unpack(f"{order}I", header[4:])[0]
        yield header[:4], (position + 8, length)
        position += 8 + length + length % 2
        if header[:4] in (b"data", b"SSND") or position > size:
            return


def _is_end(handle: int, end: int, size: int, names: tuple[bytes, ...] = LAST_CHUNKS, order: str = "<") -> bool:
    """True if samples may end at a place: nothing but chunks, which end where the file does, is behind it."""
    if _at(handle, end, 4) in names or _at(handle, end + end % 2, 4) in names:
        return True
    for padding in {0, end % 2}:
        ends = [end + padding, *(place + length for _, (place, length) in _chunks(handle, end + padding, size, order))]
        if size - SLACK <= ends[-1] <= size + 1:
            return True
    return False


def _ogg_starts(handle: int, size: int) -> list[int]:
    """The places at which an ogg begins anew; streams that begin together are one."""
    starts, position, beginning = [], 0, False
    while position < size and len(starts) < MOST_PARTS:
        header = _at(handle, position, OGG_PAGE.size + 255)
        if len(header) < OGG_PAGE.size:
            break
        name, _, flags, segments = OGG_PAGE.unpack_from(header)
        if name != b"OggS":
            position = _find(handle, b"OggS", position + 1, size)
            continue
        if flags & BEGINS and not beginning:
            starts.append(position)
        beginning = bool(flags & BEGINS)
        position += OGG_PAGE.size + segments + sum(header[OGG_PAGE.size :][:segments])
    return starts


def _flac_starts(handle: int, size: int) -> list[int]:
    """The places at which a flac begins."""
    starts = [0]
    while (start := _find(handle, FLAC_BEGINS, starts[-1] + 1, size)) < size and len(starts) < MOST_PARTS:
        starts.append(start)
    return starts


def _find(handle: int, name: bytes, position: int, size: int) -> int:
    """The next place of a name; the file's end if there is none."""
    while position < size:
        body = _at(handle, position, AT_ONCE)
        if (index := body.find(name)) >= 0:
            return position + index
        position += max(1, len(body) - len(name) + 1)
    return size


def _mp3_starts(handle: int, size: int) -> list[int]:
    """The places at which mp3s begin: each says in its first frame how many bytes it has."""
    starts, start = [], 0
    while start is not None and len(starts) < MOST_PARTS:
        first = _behind_tag(handle, start)
        length = _mp3_length(_at(handle, first, SEARCHED))
        if not length:
            return [*starts, start] if starts else []
        starts.append(start)
        start = _next_mp3(handle, first + length, size)
    return starts


def _behind_tag(handle: int, position: int) -> int:
    """The place behind an ID3 tag."""
    head = _at(handle, position, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return position
    length = sum((byte & 127) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=True))
    return position + 10 + length + (10 if head[5] & 16 else 0)


def _mp3_length(frame: bytes) -> int:
    """Bytes of an mp3 as its first frame says; 0 if it does not."""
    if not _frame_length(frame):
        return 0
    at = _tag_place(frame)
    if frame[at : at + 4] not in (b"Xing", b"Info") or len(frame) < at + 16:
        return 0
    flags = struct.unpack(">I", frame[at + 4 : at + 8])[0]
    place = at + 8 + (4 if flags & 1 else 0)
    return struct.unpack(">I", frame[place : place + 4])[0] if flags & 2 else 0


def _tag_place(frame: bytes) -> int:
    """The place in a first frame at which its lengths are said: behind the header and the side information."""
    mpeg1, mono = frame[1] >> 3 & 3 == 3, frame[3] >> 6 == 3
    return 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))


def _frame_length(head: bytes) -> int:
    """Bytes of a frame of layer III from its header; 0 if it is none."""
    if len(head) < 4 or head[0] != 255 or head[1] & 0xE6 != 0xE2:
        return 0
    version, rate, padding, bits = head[1] >> 3 & 3, head[2] >> 2 & 3, head[2] >> 1 & 1, head[2] >> 4
    if version == 1 or rate == 3 or bits in (0, 15):
        return 0
    mpeg1 = version == 3
    return (144 if mpeg1 else 72) * 1000 * BIT_RATES[mpeg1][bits - 1] // RATES[version][rate] + padding


def _uncounted_mp3(handle: int, size: int) -> list[View]:
    """An mp3 behind a frame that says its length, if its bit rates change and it does not say how long it is.

    A decoder takes the length from the first frame's bit rate, and stops there.
    """
    first = _behind_tag(handle, 0)
    head, lengths, position, body, at = _at(handle, first, 4), set(), first, b"", first
    count = 0
    while position + 4 <= size:
        if not at <= position <= at + len(body) - 4:
            at, body = position, _at(handle, position, AT_ONCE)
        frame = body[position - at : position - at + 4]
        length = _frame_length(frame)
        if not length or length > size - position:
            break
        count += 1
        lengths.add(frame[2] >> 4)
        position += length
    if len(lengths) < 2:
        return []
    header = _counting_frame(head, count, size - first)
    return [View(handle, first, size, header)]


def _counting_frame(head: bytes, count: int, length: int) -> bytes:
    """A silent frame that says how many frames and bytes follow, for a stream whose frames begin like `head`."""
    head = bytes([*head[:1], head[1] | 1, (head[2] & 0x0D) | 0x90, head[3]])  # no CRC, no padding, 128 or 80 kbit/s
    at = _tag_place(head)
    text = struct.pack(">4sIII", b"Xing", 3, count, length + _frame_length(head))
    return (head.ljust(at, b"\0") + text).ljust(_frame_length(head), b"\0")


def _next_mp3(handle: int, position: int, size: int) -> int | None:
    """The place of the next mp3 with its tag, here or soon after; None if only tags are left."""
    body = _at(handle, position, SEARCHED)
    for index in range(len(body) - 10):
        place = position + index
        tagged = body[index : index + 3] == b"ID3"
        length = 0 if tagged else _frame_length(body[index : index + 4])
        if tagged or (length and _frame_length(_at(handle, place + length, 4))):
            complete = _mp3_length(_at(handle, _behind_tag(handle, place), SEARCHED))
            return place if complete or size - place > MP3_SLACK else None
    return None
