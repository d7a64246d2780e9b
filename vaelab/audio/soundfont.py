"""Sound fonts (.sf2, .sf3): the recorded samples of many instruments in one RIFF file, and how its presets play them.

A sample is played at its own pitch; one that loops is held, under the volume envelope of its preset. Filters, vibrato,
velocity and effects are left out. An .sf3 holds its samples as Ogg Vorbis. Fonts come from strangers: every number is
checked before it is used, and what is read at once is bounded.
"""

import io
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import soundfile

from vaelab import files
from vaelab.audio import decoders
from vaelab.audio.reading import MIN_SECONDS, regular
from vaelab.audio.soundfont_file import FontFile, SoundFontError, text

SUFFIXES = (".sf2", ".sf3")
MOST_SAMPLES, MOST_COMPRESSED = 1 << 25, 64 << 20  # of a sound: samples (12 minutes at 44.1 kHz), bytes
LEAST_LOOP = 2  # samples

RIGHT, LEFT, COMPRESSED, ROM = 0x2, 0x4, 0x10, 0x8000  # kinds of samples
LOOP_START, LOOP_END, LOOP_START_COARSE, LOOP_END_COARSE = 2, 3, 45, 50  # kinds of generators
ATTACK, HOLD, DECAY, SUSTAIN, INSTRUMENT, SAMPLE, MODE = 34, 35, 36, 37, 41, 53, 54
USED = frozenset(
    (LOOP_START, LOOP_END, LOOP_START_COARSE, LOOP_END_COARSE, ATTACK, HOLD, DECAY, SUSTAIN, INSTRUMENT, SAMPLE, MODE)
)
COARSE = 32768  # samples
LOOPING = (1, 3)  # modes: for ever, and until the key is released
SHORTEST_CENTS, LONGEST_CENTS = -12_000, 8_000  # of 1200 to a doubling of time; 0 is 1 s
SILENCE_DB = 100.0  # what a decay falls by in its time


@dataclass(frozen=True, slots=True)
class Sample:
    """A recorded sample, as its font describes it; nothing of it has been checked."""

    number: int
    name: str
    start: int  # in samples from the first of the font; in bytes if it is compressed
    end: int
    loop: tuple[int, int]  # in samples from its own start
    rate: int  # Hz
    link: int  # number of the other channel's sample, where the font says
    kind: int  # bits such as LEFT


@dataclass(frozen=True, slots=True)
class Note:
    """The way in which a preset plays a sample."""

    preset: str
    program: tuple[int, int]  # bank and program of the preset
    instrument: str
    loops: bool
    loop_shift: tuple[int, int]  # samples
    attack: float  # seconds, and the two below
    hold: float
    decay: float  # by `SILENCE_DB`
    sustain_db: float  # below full level, where the decay ends


class SoundFont:
    """An open sound font.

    Attributes:
        path: Its file.
        info: Texts about it: "name", "engineers", "copyright", "comment"; those that it has.
        samples: In its order.
        notes: How a sample is played, by its number: by the first preset that does, in the order of banks and programs
            (drums, bank 128, come last). Samples that no preset plays have none.
    """

    def __init__(self, file: FontFile):
        """Read its presets.

        Raises:
            SoundFontError: It is damaged.
        """
        self.path, self.info, self._file = file.path, file.info, file
        self.samples = [_sample(number, record) for number, record in enumerate(file.tables[b"shdr"][:-1].tolist())]
        self.notes = self._notes()

    def sounds(self) -> list[tuple[Sample, ...]]:
        """Each sound's samples: one, or left and right of a stereo pair.

        A pair is linked to each other; or, as many programs lose the links, it has one rate and names that differ only
        in an L and an R at their ends.
        """
        rights = [sample for sample in self.samples if sample.kind & RIGHT]
        by_name = {(without_side(sample.name), sample.rate): sample for sample in reversed(rights)}
        partners: dict[int, Sample] = {}  # left ones, by the numbers of right ones
        for left in (sample for sample in self.samples if sample.kind & LEFT):
            linked = self.samples[left.link] if left.link < len(self.samples) else left
            mutual = linked.kind & RIGHT and linked.link == left.number and linked.rate == left.rate
            right = linked if mutual else by_name.get((without_side(left.name), left.rate), left)
            if right is not left:
                partners.setdefault(right.number, left)
        pairs = {left.number: self.samples[right] for right, left in partners.items()}
        singles = (sample for sample in self.samples if sample.number not in partners)
        return [(sample, pairs[sample.number]) if sample.number in pairs else (sample,) for sample in singles]

    def play(self, samples: Sequence[Sample], seconds: float) -> np.ndarray:
        """A sound of `sounds`: float32, (samples,) or (samples, 2), at the rate of its first sample.

        It is as long as it was recorded; one that its preset loops is held for `seconds`.

        Raises:
            SoundFontError: A sample lies outside of the font or in a ROM, its rate or length is out of range, it does
                not decode, or its loop is not within it.
        """
        channels = [self._played(sample, seconds) for sample in samples]
        shortest = min(map(len, channels))
        return channels[0] if len(channels) == 1 else np.stack([channel[:shortest] for channel in channels], axis=1)

    def _played(self, sample: Sample, seconds: float) -> np.ndarray:
        recorded = self._recorded(sample)
        note = self.notes.get(sample.number)
        if note is None or not note.loops:
            if len(recorded) < MIN_SECONDS * sample.rate:
                expected = f"at least {1000 * MIN_SECONDS:g} ms of sound"
                raise self._sample_error(sample, expected, f"{len(recorded)} samples at {sample.rate} Hz")
            return recorded
        start, end = np.add(sample.loop, note.loop_shift).tolist()
        if not 0 <= start <= end - LEAST_LOOP <= len(recorded) - LEAST_LOOP:
            expected = f"a loop of at least {LEAST_LOOP} samples within its {len(recorded)}"
            raise self._sample_error(sample, expected, f"{start} to {end}")
        index = np.arange(round(seconds * sample.rate))
        looped = recorded[np.where(index < end, index, start + (index - start) % (end - start))]
        return looped * _envelope(note, index / sample.rate)

    def _recorded(self, sample: Sample) -> np.ndarray:
        """The samples of a sample, float32 (samples,), between -1 and 1."""
        self._check(sample)
        recorded = self._decompressed(sample) if sample.kind & COMPRESSED else self._plain(sample)
        if len(recorded) > MOST_SAMPLES:
            raise self._sample_error(sample, f"at most {MOST_SAMPLES} samples", "more")
        return recorded

    def _plain(self, sample: Sample) -> np.ndarray:
        count = min(sample.end - sample.start, MOST_SAMPLES + 1)
        content = self._file.read(self._file.pool[0] + 2 * sample.start, 2 * count)
        return np.frombuffer(content, "<i2").astype(np.float32) / 32768

    def _decompressed(self, sample: Sample) -> np.ndarray:
        content = self._file.read(self._file.pool[0] + sample.start, min(sample.end - sample.start, MOST_COMPRESSED))
        if not content.startswith(b"OggS"):
            raise self._sample_error(sample, "Ogg Vorbis", f"what begins with {content[:4]!r}")
        try:
            recorded, _ = soundfile.read(io.BytesIO(content), MOST_SAMPLES + 1, dtype="float32", always_2d=True)
        except soundfile.LibsndfileError as error:
            raise self._sample_error(sample, "Ogg Vorbis", f"damage: {error.error_string}") from error
        if recorded.shape[1] != 1 or not np.isfinite(recorded).all():
            raise self._sample_error(sample, "finite samples of 1 channel", f"others, of {recorded.shape[1]}")
        return np.clip(recorded[:, 0], -1, 1)

    def _check(self, sample: Sample) -> None:
        """Refuse what cannot be read, or should not be."""
        size = self._file.pool[1] if sample.kind & COMPRESSED else self._file.pool[1] // 2
        if sample.kind & ROM:
            raise self._sample_error(sample, "a sample in the file", "one in the ROM of a sound card")
        if not sample.start < sample.end <= size:
            raise self._sample_error(sample, f"a place within 0 to {size}", f"{sample.start} to {sample.end}")
        if not decoders.MIN_RATE <= sample.rate <= decoders.MAX_RATE:
            expected = f"a rate of {decoders.MIN_RATE} to {decoders.MAX_RATE} Hz"
            raise self._sample_error(sample, expected, f"{sample.rate} Hz")

    def _notes(self) -> dict[int, Note]:
        presets, instruments = self._file.tables[b"phdr"], self._file.tables[b"inst"][:-1]
        preset_zones = self._zones((b"phdr", b"pbag", b"pgen"), INSTRUMENT, len(instruments))
        instrument_zones = self._zones((b"inst", b"ibag", b"igen"), SAMPLE, len(self.samples))
        notes: dict[int, Note] = {}
        visited: set[int] = set()  # so that fonts in which all presets play all instruments take no longer
        for preset in np.lexsort((presets["program"][:-1], presets["bank"][:-1])).tolist():
            name, program, bank, *_ = presets[preset].item()
            for outer in preset_zones[preset]:
                if (instrument := outer[INSTRUMENT]) in visited:
                    continue
                visited.add(instrument)
                names = text(name), (bank, program), text(instruments["name"][instrument])
                for inner in instrument_zones[instrument]:
                    notes.setdefault(inner[SAMPLE], _note(*names, outer, inner))
        return notes

    def _zones(self, names: tuple[bytes, bytes, bytes], target: int, most: int) -> list[list[dict[int, int]]]:
        """The generators of each zone that has a target (a number below `most`), by preset or instrument.

        A first zone without target holds what all others have in common.
        """
        groups = []
        for zones in self._file.zones(*names):
            common = _used(zones[0]) if zones and target not in zones[0] else {}
            targeted = (zone for zone in zones if target in zone)
            groups.append([{**common, **_used(zone), target: zone[target] & 0xFFFF} for zone in targeted])
        numbers = [zone[target] for group in groups for zone in group]
        if numbers and max(numbers) >= most:
            raise self._file.error(f"expected numbers below {most} in {names[-1].decode()}, found {max(numbers)}")
        return groups

    def _sample_error(self, sample: Sample, expected: str, actual: str) -> SoundFontError:
        return self._file.error(f"sample {sample.number}, {sample.name!a}: expected {expected}, found {actual}")


@contextmanager
def open_font(path: str | os.PathLike) -> Iterator[SoundFont]:
    """Open a sound font for reading.

    Raises:
        AudioError: The file is missing, or is not a regular file.
        SoundFontError: It is no sound font, or is damaged.
    """
    path = files.from_home(path)
    with regular(path) as handle:
        own = os.dup(handle)  # outlives `regular`, which would take any OSError for one of this file
    with open(own, "rb") as file:
        yield SoundFont(FontFile(path, file))


def is_font(path: str | os.PathLike) -> bool:
    """True for names that end as those of sound fonts do."""
    return os.fsdecode(path).lower().endswith(SUFFIXES)


def without_side(name: str) -> str:
    """A name without the L or R at its end, as in "Piano C4(L)", "Choir_l" and "Strings E4R"."""
    return re.sub(r"([\W_]+[LRlr]|[LR])[\W_]*$", "", name)


def _used(zone: Mapping[int, int]) -> dict[int, int]:
    return {kind: amount for kind, amount in zone.items() if kind in USED}


def _sample(number: int, record: tuple) -> Sample:
    name, start, end, loop_start, loop_end, rate, _, _, link, kind = record
    shift = 0 if kind & COMPRESSED else start
    return Sample(number, text(name), start, end, (loop_start - shift, loop_end - shift), rate, link, kind)


def _note(
    preset: str, program: tuple[int, int], instrument: str, outer: Mapping[int, int], inner: Mapping[int, int]
) -> Note:
    """A note by the generators of both zones: those of the preset add to those of the instrument."""

    def seconds(kind: int) -> float:
        cents = inner.get(kind, SHORTEST_CENTS) + outer.get(kind, 0)
        return 2.0 ** (min(max(cents, SHORTEST_CENTS), LONGEST_CENTS) / 1200)

    shift = (
        inner.get(LOOP_START, 0) + COARSE * inner.get(LOOP_START_COARSE, 0),
        inner.get(LOOP_END, 0) + COARSE * inner.get(LOOP_END_COARSE, 0),
    )
    sustain_db = (inner.get(SUSTAIN, 0) + outer.get(SUSTAIN, 0)) / 10
    return Note(
        preset,
        program,
        instrument,
        inner.get(MODE, 0) & 3 in LOOPING,
        shift,
        seconds(ATTACK),
        seconds(HOLD),
        seconds(DECAY),
        min(max(sustain_db, 0.0), SILENCE_DB),
    )


def _envelope(note: Note, time: np.ndarray) -> np.ndarray:
    """Gain of a held note at times (samples,) in seconds: a linear attack, a hold, and a decay that is linear in dB."""
    start = note.attack + note.hold
    end = start + note.decay * note.sustain_db / SILENCE_DB
    decibels = np.interp(time, [start, end], [0, note.sustain_db])
    return (np.minimum(time / note.attack, 1) * 10 ** (-decibels / 20)).astype(np.float32)
