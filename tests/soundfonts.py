"""Small sound fonts, built byte by byte."""

import io
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import soundfile

START_LOOP, END_LOOP, ATTACK, HOLD, DECAY, SUSTAIN, INSTRUMENT, SAMPLE, MODE = 2, 3, 34, 35, 36, 37, 41, 53, 54
RATE = 8000
GAP = 46  # silent samples after each sample


def tone(seed: int, count: int = 800) -> np.ndarray:
    """A tone with noise, of a seed: 16 bits (samples,)."""
    noise = np.random.default_rng(seed).uniform(-0.1, 0.1, count)
    return np.round(20000 * (0.5 * np.sin(2 * np.pi * (100 + 37 * seed) * np.arange(count) / RATE) + noise)).astype(
        "<i2"
    )


@dataclass
class Sample:
    name: str | bytes
    values: np.ndarray
    loop: tuple[int, int] = (0, 0)  # from its own start
    rate: int = RATE
    kind: int = 1
    link: int = 0
    changes: Mapping[str, int] = field(default_factory=dict)  # lies: "start" and "end" in the whole font's samples


@dataclass
class Instrument:
    name: str | bytes
    zones: Sequence[Mapping[int, int]]


@dataclass
class Preset:
    name: str | bytes
    zones: Sequence[Mapping[int, int]]
    bank: int = 0
    program: int = 0


def font(
    samples: Sequence[Sample],
    instruments: Sequence[Instrument] = (),
    presets: Sequence[Preset] = (),
    info: Mapping[bytes, bytes] | None = None,
    *,
    compressed: bool = False,
    pad: bool = True,
    tables: Mapping[bytes, bytes] | None = None,
) -> bytes:
    """The bytes of a sound font; `tables` replace those of the presets and samples."""
    pool, headers = _pool(samples, compressed)
    pbag, pgen = _zones(preset.zones for preset in presets)
    ibag, igen = _zones(instrument.zones for instrument in instruments)
    starts = _starts(presets), _starts(instruments)
    chunks = {
        b"phdr": b"".join(
            struct.pack("<20sHHHIII", _name(preset.name), preset.program, preset.bank, start, 0, 0, 0)
            for preset, start in zip([*presets, Preset("EOP", [])], starts[0], strict=True)
        ),
        b"pbag": pbag,
        b"pmod": bytes(10),
        b"pgen": pgen,
        b"inst": b"".join(
            struct.pack("<20sH", _name(instrument.name), start)
            for instrument, start in zip([*instruments, Instrument("EOI", [])], starts[1], strict=True)
        ),
        b"ibag": ibag,
        b"imod": bytes(10),
        b"igen": igen,
        b"shdr": headers,
        **(tables or {}),
    }
    texts = {b"ifil": struct.pack("<HH", 2, 4), b"INAM": b"Test font\0", **(info or {})}
    body = b"sfbk" + b"".join(
        chunk(b"LIST", kind + b"".join(chunk(*pair, pad) for pair in inside.items()), pad)
        for kind, inside in ((b"INFO", texts), (b"sdta", {b"smpl": pool}), (b"pdta", chunks))
    )
    return chunk(b"RIFF", body, pad)


def simple(count: int = 4) -> bytes:
    """Two presets that share some recorded tones, whose even ones loop."""
    samples = [Sample(f"Tone {number}", tone(number), (400, 600)) for number in range(count)]
    zones = [{MODE: 1 - number % 2, SAMPLE: number} for number in range(count)]
    instruments = [Instrument("Low", zones[: count // 2]), Instrument("High", zones[count // 2 :])]
    return font(
        samples, instruments, [Preset("Piano", [{INSTRUMENT: 0}]), Preset("Organ", [{INSTRUMENT: 1}], program=16)]
    )


def chunk(name: bytes, body: bytes, pad: bool = True) -> bytes:
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2 if pad else 0)


def _pool(samples: Sequence[Sample], compressed: bool) -> tuple[bytes, bytes]:
    pool, records = b"", []
    for sample in samples:
        body, unit = (_vorbis(sample), 1) if compressed else (sample.values.astype("<i2").tobytes(), 2)
        start = len(pool) // unit
        shift = 0 if compressed else start
        places = {"start": start, "end": start + len(body) // unit, "first": sample.loop[0] + shift}
        places |= {"last": sample.loop[1] + shift, **sample.changes}
        kind = sample.kind | (0x10 if compressed else 0)
        numbers = *places.values(), sample.rate, 60, 0, sample.link, kind
        records.append(struct.pack("<20s5IBbHH", _name(sample.name), *numbers))
        pool += body + (b"" if compressed else bytes(2 * GAP))
    return pool, b"".join([*records, struct.pack("<20s26x", b"EOS")])


def _vorbis(sample: Sample) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, sample.values / 32768, sample.rate, format="OGG", subtype="VORBIS")
    return buffer.getvalue()


def _zones(groups) -> tuple[bytes, bytes]:
    """Bags and generators."""
    zones = [zone for group in groups for zone in group]
    firsts = np.cumsum([0, *map(len, zones)]).tolist()
    bags = b"".join(struct.pack("<HH", first, 0) for first in firsts)
    return bags, b"".join(struct.pack("<Hh", *pair) for zone in [*zones, {0: 0}] for pair in zone.items())


def _starts(owners: Sequence[Preset | Instrument]) -> list[int]:
    return np.cumsum([0, *(len(owner.zones) for owner in owners)]).tolist()


def _name(name: str | bytes) -> bytes:
    return name if isinstance(name, bytes) else name.encode("latin-1")
