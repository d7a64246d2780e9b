"""Sharing: a library, its map and a model's decoder in a single HTML file of a chosen size.

The page has the map, names and neighbours; as many sounds as there is room for, spread over the map; and for the places
between them the decoder itself, or, where that is too large, a grid of places that the model plays beforehand. It asks
the network for nothing, and its own policy would refuse it.
"""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from vaelab import audio, files
from vaelab.audio import Sound
from vaelab.library import Library, umap_map
from vaelab.play import SoundSampleTool
from vaelab.progress import progress_bar
from vaelab.sharing import clips, decoder, html, origins, plane
from vaelab.sharing.origins import RECORDING, Origin, SharingError
from vaelab.spectral import evenly_spaced
from vaelab.text import printable, short_name

SOUNDS = ("real", "made", "none")
SUFFIXES = (".html", ".htm")
MEGABYTE = 1_000_000
DECODER_SHARE = 0.6  # of the page, beside sounds; a decoder that takes more becomes a grid
POINTS_SHARE = 0.25  # of the page, for what it says of each sound
POINT_SIZE = 150  # characters for a sound's name, colour, neighbours and place
GRID_SHARE = 0.5  # of what sounds have, for a grid beside them
MOST_GROUPS = 28  # that colours and shapes tell apart
OTHERS = "others"


@dataclass(frozen=True)
class Shared:
    """A page that was written.

    Attributes:
        path: The file.
        size: Bytes.
        points: Sounds on its map.
        sounds: Files whose sounds are in it.
        origins: Of these.
        places: How many places are played beforehand; 0 where the decoder itself is in the page.
        why: What keeps the decoder out of the page; None if nothing does.
        failed: Why sounds could not be read, by path.
    """

    path: Path
    size: int
    points: int
    sounds: tuple[Path, ...]
    origins: tuple[Origin, ...]
    places: int
    why: str | None
    failed: Mapping[Path, str]

    def report(self) -> str:
        """Summary in a few lines."""
        lines = [f"wrote {printable(self.path)}: {self.size / MEGABYTE:.1f} MB, {self.points} sounds on its map"]
        lines += [f"  {line}" for line in contents(self.origins, self.points, self.places, self.why)]
        lines += [f"  not in it: {reason}" for reason in self.failed.values()]
        return "\n".join(lines)


def share(
    tool: SoundSampleTool,
    path: str | os.PathLike,
    *,
    sounds: str | None = None,
    megabytes: float = 10.0,
    title: str | None = None,
    coordinates: np.ndarray | None = None,
    seed: int = 0,
    overwrite: bool = False,
    progress: bool = True,
) -> Shared:
    """Write a page that plays a tool's library and model in any browser, offline.

    Args:
        tool: A model with a library.
        path: Where to, a name in .html.
        sounds: "real": all sounds may be in the page; "made": only built-in ones and those that vaelab made of nothing
            else; "none": the model plays everything. None is "real" where the library has no recordings, else an error.
            The names of all sounds are in the page, and a model that learnt a sound plays one much like it.
        megabytes: The most that the file may have, in 1,000,000 bytes.
        title: Of the page; None is the folder's name.
        coordinates: Places of the library's sounds on the map, (n, 2); None is `umap_map.map_coordinates`.
        seed: Of the map, without coordinates.
        overwrite: Replace a file of that name.
        progress: Show bars.

    Raises:
        SharingError: No library, recordings that nobody agreed to share, a name, a size or coordinates that will not
            do.
        TakenError: There is a file of that name.
        LibraryError: The map cannot be laid out.
    """
    path = files.from_home(path)
    check(path, sounds, megabytes, overwrite=overwrite)
    if tool.library is None:
        raise SharingError("share: expected a library; open the tool with library_dir=FOLDER")
    shown = _shown(tool, megabytes)
    every = _origins(tool.library, shown, progress) if sounds != "none" else []
    if sounds is None and (count := sum(origin.kind == RECORDING for origin in every)):
        raise SharingError(refusal(count))
    allowed = [turn for turn, origin in enumerate(every) if sounds != "made" or origin.kind != RECORDING]
    if coordinates is None:
        coordinates = umap_map.map_coordinates(tool.library, seed=seed)
    elif np.shape(coordinates) != (len(tool.library), 2):
        raise SharingError(f"coordinates: expected shape ({len(tool.library)}, 2), found {np.shape(coordinates)}")
    draft = _Draft(tool, shown, np.asarray(coordinates, np.float32), int(megabytes * MEGABYTE))
    draft.play_places(bool(allowed), progress)
    draft.put_in(allowed, progress)
    origins_in = tuple(every[turn] for turn in sorted(draft.sounds))
    words = contents(origins_in, len(shown), len(draft.place_sounds), draft.why)
    text = draft.text(title or printable(tool.library.root.name), words, every)
    if len(text) > draft.size:
        raise SharingError(f"megabytes: expected at least {_enough(len(text))} for this library, found {megabytes:g}")
    files.write_text(path, text)
    in_it = tuple(tool.library.files[shown[turn]] for turn in sorted(draft.sounds))
    failed = {tool.library.files[shown[turn]]: reason for turn, reason in draft.failed.items()}
    return Shared(path, len(text), len(shown), in_it, origins_in, len(draft.place_sounds), draft.why, failed)


def check(path: str | os.PathLike, sounds: str | None, megabytes: float, *, overwrite: bool = False) -> None:
    """Refuse, before any work, a name, a choice of sounds or a size that `share` cannot take; errors as there."""
    if Path(path).suffix.lower() not in SUFFIXES:
        raise SharingError(f"{printable(path)}: expected a name in .html")
    if sounds not in (None, *SOUNDS):
        raise SharingError(f"sounds: expected one of {', '.join(SOUNDS)}, found {sounds!r}")
    if isinstance(megabytes, bool) or not isinstance(megabytes, int | float) or not 0 < megabytes < np.inf:
        raise SharingError(f"megabytes: expected a number above 0, found {megabytes!r}")
    audio.check_free(path, overwrite=overwrite)


def recordings(tool: SoundSampleTool, *, progress: bool = True) -> int:
    """The number of sounds of a tool's library that are recordings, or may be."""
    every = np.arange(len(tool.library))
    return sum(origin.kind == RECORDING for origin in _origins(tool.library, every, progress))


def refusal(count: int) -> str:
    """The error of recordings that nobody agreed to share."""
    return (
        f"sounds: expected permission to put {count} recordings into the page, where everybody who has it can copy "
        "them; sounds='real' gives it, sounds='made' leaves them out, sounds='none' leaves out all"
    )


def contents(sounds: Sequence[Origin], points: int, places: int, why: str | None) -> list[str]:
    """The contents of a page, a sentence a line: how it plays places, and its sounds by origin and licence."""
    if why is None:
        how = "places between sounds: the model's decoder itself is in the page"
    else:
        how = f"places between sounds: {places} that the model played beforehand, since {why}"
    others = "" if len(sounds) == points else "; the model plays the others (rings on the map)"
    counts = Counter((origin.kind, origin.licence or "licence not known") for origin in sounds)
    return [
        how,
        f"sounds in it: {len(sounds)} of {points}{others}",
        *(f"{count} {kind}: {licence}" for (kind, licence), count in sorted(counts.items())),
    ]


def _shown(tool: SoundSampleTool, megabytes: float) -> np.ndarray:
    """The numbers of the sounds on the map: all, or as many, evenly spaced, as leave room for the rest."""
    size = POINT_SIZE + clips.base64_size(2 * tool.model.config.latent_dim)
    return evenly_spaced(len(tool.library), max(4, int(POINTS_SHARE * megabytes * MEGABYTE / size)))


def _origins(library: Library, shown: np.ndarray, progress: bool) -> list[Origin]:
    bar = progress_bar(shown, show=progress, desc="looking at origins", unit="sound", total=len(shown))
    return [origins.origin(library.files[number], library.root) for number in bar]


def _enough(size: int) -> str:
    return f"{np.ceil(size / MEGABYTE * 10) / 10:g}"


class _Draft:
    """A page while it fills: what there is room for, and what is in it."""

    def __init__(self, tool: SoundSampleTool, shown: np.ndarray, coordinates: np.ndarray, size: int):
        self.tool, self.shown, self.size = tool, shown, size
        self.points = plane.drawn_in(coordinates)[shown]
        self.embeddings = np.asarray(tool.library.embeddings, np.float32)[shown]
        self.sounds: dict[int, bytes] = {}
        self.failed: dict[int, str] = {}
        self.places, self.place_sounds = np.zeros((0, 2), np.float32), []
        self.why = decoder.obstacle(tool.model)

    def play_places(self, with_sounds: bool, progress: bool) -> None:
        """Take the decoder into the page, or play a grid of places if it is too large."""
        share = DECODER_SHARE if with_sounds else 1
        if self.why is None and (size := len(self._text())) > share * self.size:
            self.why = f"its decoder would need {size / MEGABYTE:.1f} MB of {self.size / MEGABYTE:g} MB"
        if self.why is None:
            return
        places = plane.lattice(self.points)
        room = (self.size - len(self._text())) * (GRID_SHARE if with_sounds else 1)
        order = progress_bar(clips.spread_out(places), show=progress, desc="playing places", unit="place")
        played, _ = clips.fitting(order, lambda number: self._played(places[number]), int(room))
        if not played:
            raise SharingError(f"megabytes: expected more room for places to play, found {self.size / MEGABYTE:g}")
        self.places, self.place_sounds = places[list(played)], list(played.values())

    def put_in(self, allowed: Sequence[int], progress: bool) -> None:
        """Put in the allowed sounds for which there is room, spread over the map."""
        if not allowed:
            return
        room = self.size - len(self._text()) - 100 * len(allowed)  # for each a line that says what it is
        turns = (allowed[turn] for turn in clips.spread_out(self.points[allowed]))
        bar = progress_bar(turns, show=progress, desc="compressing", unit="sound", total=len(allowed))
        self.sounds, self.failed = clips.fitting(bar, self._compressed, room)

    def text(self, title: str, words: Sequence[str], every: Sequence[Origin]) -> str:
        """The page."""
        kinds = [f"{origin.kind}, {origin.licence or 'licence not known'}" for origin in every]
        return self._text(title, words, kinds)

    def _played(self, place: np.ndarray) -> bytes:
        sound: Sound = self.tool.decode(self._latent(place)[None])[0]
        return clips.mp3(sound.mono, sound.sample_rate)

    def _latent(self, place: np.ndarray) -> np.ndarray:
        return umap_map.latent_at(self.points, self.embeddings, place)[0]

    def _compressed(self, turn: int) -> bytes:
        library, config = self.tool.library, self.tool.model.audio
        number = self.shown[turn]
        samples = audio.read(
            library.files[number], config.sample_rate, float(library.onsets[number]), config.clip_seconds
        )
        return clips.mp3(samples, config.sample_rate)

    def _text(self, title: str = "", words: Sequence[str] = (), kinds: Sequence[str] = ()) -> str:
        model, library = self.tool.model, self.tool.library
        names = [short_name(library.files[number]) for number in self.shown]
        groups, group_names = _groups([library.files[number].parent.name for number in self.shown])
        compared = library.probed(self.embeddings)  # as the map does
        near = plane.neighbours(compared, compared, itself=True)
        tables = {"points": self.points, "groups": groups, "near": near}
        data: dict[str, Any] = {"title": title, "how": ". ".join(words[:2]), "contents": list(words)}
        data |= {"names": names, "groupNames": group_names, "kinds": list(kinds)}
        data["sounds"] = [html.base64(self.sounds[turn]) if turn in self.sounds else None for turn in range(len(names))]
        weights = b""
        if self.why is None:
            numbers, filters = decoder.front_end(model.audio)
            table, weights = decoder.packed({**decoder.arrays(model), **filters})
            logits = model.config.likelihood == "cross_entropy"
            about = {"depth": model.config.depth, "logits": logits}
            data["decoder"] = {"table": table, "front": numbers, "about": about}
            tables["latents"] = self.embeddings.astype(np.float16)
            if library.probe is not None:
                tables["probe"] = library.probe.astype(np.float32)
        elif len(self.places):
            latents = np.stack([self._latent(place) for place in self.places])
            tables |= {
                "places": self.places,
                "placeNear": plane.neighbours(compared, library.probed(latents), itself=False),
            }
            data["placeSounds"] = [html.base64(sound) for sound in self.place_sounds]
        data["table"], body = decoder.packed(tables)
        return html.page(data, body, weights)


def _groups(names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """A group for each sound by its folder's name, uint8 (sounds,), and the groups' names; rare ones share the last."""
    common = [name for name, _ in Counter(names).most_common()]
    common = sorted(common) if len(common) <= MOST_GROUPS else [*sorted(common[: MOST_GROUPS - 1]), OTHERS]
    numbers = {name: number for number, name in enumerate(common)}
    groups = np.array([numbers.get(name, len(common) - 1) for name in names], np.uint8)
    return groups, [printable(name) for name in common]
