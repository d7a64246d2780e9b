"""The instrument: the map, the mix, the sound and the pads on one surface (`static/instrument_view.js`).

A view and its callbacks, as mixer and map are: what the browser asks for changes the setting, and one thread makes its
sound, sends it, and only then draws it.
"""

import os
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import traitlets
from matplotlib.path import Path as Outline

from vaelab import audio
from vaelab.audio import Sound
from vaelab.library import nearest, umap_map
from vaelab.play import SoundSampleTool
from vaelab.play.latent import LatentError
from vaelab.sharing import share
from vaelab.text import clip_name, printable
from vaelab.ui import scripts
from vaelab.ui.blending import mean_place, weights_at
from vaelab.ui.controls import failing, free
from vaelab.ui.mapview import MapView
from vaelab.ui.mixer_state import SEEDS, Channel, History, Setting
from vaelab.ui.pads import Pads
from vaelab.ui.player import Player
from vaelab.ui.soundmap import FIRST_CHOICES, attributes, check_coordinates
from vaelab.ui.worker import Latest, Stopped

SOURCES = 8  # of a mix: the keys 1 to 8 play them
WEIGHTS = -2.0, 2.0  # the least and the largest
MOST_VARIANCE = 2.0
NAMED = 3  # nearest real sounds of a decoded place


class Instrument(MapView, Player, Pads):
    """All sounds of a library on a map, a mix of some, its sound, and the last sounds made.

    The browser asks by the trait `asked` (`MapView`): {"kind", "turn"} and what belongs to the kind: "play" and "add"
    "index"; "decode" "x", "y", and "live"; "lasso" "corners"; "source" and "remove" "number"; "weigh" "number",
    "weight", "live"; "blend" "x", "y", "live"; "vary" "variance", "live"; "colour" "name"; "share" "sounds"; "mix",
    "roll", "undo" and "save" nothing.
    What is live is in the middle of a drag, or of a held key: it is heard, and is no step to undo and on no pad.

    Attributes:
        tool: The model in use, with its library.
        coordinates: float32 (n, 2), where the sounds lie.
        worker: Makes the sounds; `worker.wait()` until there is nothing left to make.
        writer: Writes pages to share beside it, since that takes a while.
        sound: The newest sound that was made, of a mix or a place, or None.
        sources: For the page: {"index", "title", "weight"} of each sound of the mix.
        mixed: For the page: {"at": [x, y]}, the place of the mix, or {}.
        variance: Of the noise added to the mix, for the page.
        colouring: For the page: {"names", "name"}, by what the points can be coloured, and are.
        status: What was done, or why not.
    """

    _esm = scripts.joined("instrument")
    _css = scripts.styles("map", "player", "pads", "instrument")
    sources = traitlets.List([]).tag(sync=True)
    mixed = traitlets.Dict({}).tag(sync=True)
    variance = traitlets.Float(0.0).tag(sync=True)
    colouring = traitlets.Dict({}).tag(sync=True)
    status = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        tool: SoundSampleTool,
        coordinates: np.ndarray | None = None,
        colours: Mapping[str, Sequence[str | None] | np.ndarray] | None = None,
        folder: str | os.PathLike = "generated",
        sync: bool = False,
    ):
        """Show the sounds of `tool.library` at coordinates (n, 2), those of `umap_map.map_coordinates` by default.

        They can be coloured by `colours`, names or numbers for each, beside what is known of every sound. Sounds and
        kits are saved in the folder. With `sync`, everything is done within the callbacks, for tests.

        Raises:
            LatentError: No library, or coordinates that are not (sounds, 2).
        """
        if coordinates is None and tool.library is not None:
            coordinates = umap_map.map_coordinates(tool.library)
        check_coordinates(tool, coordinates)
        self.tool, self.coordinates = tool, np.asarray(coordinates, np.float32)
        self.worker, self.writer = Latest(sync), Latest(sync)
        self.sound: Sound | None = None
        self._history = History(Setting(()))
        self._sounding: Setting | None = None  # of the newest mix that was heard
        self._rows: dict[tuple[Path, float], int] = {}  # of the library, by file and onset
        self._colours = {**attributes(tool), **(colours or {})}
        super().__init__(self.coordinates, list(map(self._title, range(len(self.coordinates)))), folder=folder)
        self.autoplay = True
        self._colour(next((name for name in FIRST_CHOICES if name in self._colours), next(iter(self._colours))))
        self.status = f"{len(self.coordinates)} sounds"
        self.observe(lambda change: self._answer_page(change["new"]), names="asked")

    @property
    def setting(self) -> Setting:
        """The mix as it is set now, without what a drag has not ended."""
        return self._history.present

    def _answer_page(self, what: dict[str, Any]) -> None:
        actions = {
            "play": lambda: self._play(_whole(what["index"], len(self.coordinates))),
            "decode": lambda: self._decode((float(what["x"]), float(what["y"])), bool(what.get("live"))),
            "lasso": lambda: self._gather(np.asarray(what["corners"], float)),
            "add": lambda: self._add([_whole(what["index"], len(self.coordinates))]),
            "source": lambda: self._play(self.sources[_whole(what["number"], len(self.sources))]["index"]),
            "remove": lambda: self._remove(_whole(what["number"], len(self.sources))),
            "weigh": lambda: self._weigh(
                _whole(what["number"], len(self.sources)), float(what["weight"]), bool(what["live"])
            ),
            "blend": lambda: self._blend((float(what["x"]), float(what["y"])), bool(what["live"])),
            "vary": lambda: self._vary(float(what["variance"]), bool(what["live"])),
            "roll": self._roll,
            "colour": lambda: self._colour(what["name"]),
            "mix": lambda: self._make(self.setting, padded=False, again=True),
            "undo": self._undo,
            "save": self._save,
            "share": lambda: self._share(what["sounds"]),
        }
        with failing(self._say, "not done"):
            actions[what["kind"]]()

    # The mix

    def _add(self, indices: Sequence[int]) -> None:
        present = [source["index"] for source in self.sources]
        new = [index for index in dict.fromkeys(indices) if index not in present]
        left = SOURCES - len(present)
        if not new:
            raise LookupError("in the mix already")
        if left <= 0:
            raise LookupError(f"a mix has {SOURCES} sounds at most; take one away first")
        self._change(replace(self.setting, channels=(*self.setting.channels, *map(self._channel, new[:left]))))
        if new[left:]:
            self.status = f"added {left} of {len(new)} sounds: a mix has {SOURCES} at most"

    def _gather(self, corners: np.ndarray) -> None:
        inside = np.flatnonzero(Outline(corners).contains_points(self.coordinates))
        self.selected = inside.astype("<u4").tobytes()
        if not len(inside):
            raise LookupError("no sound in the lasso")
        self._add(inside.tolist())

    def _remove(self, number: int) -> None:
        channels = self.setting.channels
        self._change(replace(self.setting, channels=channels[:number] + channels[number + 1 :]))

    def _weigh(self, number: int, weight: float, live: bool) -> None:
        weights = [channel.weight for channel in self.setting.channels]
        weights[number] = weight
        self._change(self._weighted(weights), live)

    def _blend(self, place: tuple[float, float], live: bool) -> None:
        if not self.sources:
            raise LookupError("no sound in the mix yet")
        places = self.coordinates[[source["index"] for source in self.sources]]
        self._change(self._weighted(weights_at(places, np.asarray(place)).tolist()), live)

    def _vary(self, variance: float, live: bool) -> None:
        self._change(replace(self.setting, variance=round(float(np.clip(variance, 0, MOST_VARIANCE)), 2)), live)

    def _roll(self) -> None:
        if not self.setting.channels:
            raise LookupError("no sound in the mix yet")
        if not self.setting.variance:
            raise LookupError("a variance of 0 has one sound: raise it for others")
        self._change(replace(self.setting, seed=secrets.randbelow(SEEDS)))

    def _weighted(self, weights: Sequence[float]) -> Setting:
        clipped = [round(float(np.clip(weight, *WEIGHTS)), 2) for weight in weights]
        pairs = zip(self.setting.channels, clipped, strict=True)
        return replace(self.setting, channels=tuple(replace(channel, weight=weight) for channel, weight in pairs))

    def _undo(self) -> None:
        if not self._history.undo():
            raise LookupError("nothing to undo")
        self._show(self.setting)
        self._make(self.setting, padded=False)

    def _change(self, setting: Setting, live: bool = False) -> None:
        if not live:
            self._history.change(setting)
        self._show(setting)
        self._make(setting, padded=not live)

    def _show(self, setting: Setting) -> None:
        """Tell the page which sounds are mixed, by which weights and variance, and where on the map that is."""
        indices = [self._rows[channel.path, channel.offset] for channel in setting.channels]
        weights = [channel.weight for channel in setting.channels]
        place = mean_place(self.coordinates[indices], weights) if indices else None
        with self.hold_sync():
            self.sources = [
                {"index": index, "title": printable(self._title(index)), "weight": weight}
                for index, weight in zip(indices, weights, strict=True)
            ]
            self.mixed = {} if place is None else {"at": place.tolist()}
            self.variance = setting.variance

    # Sounds

    def _make(self, setting: Setting, *, padded: bool = True, again: bool = False) -> None:
        """Hear a mix, unless it is what was heard last; `again` then plays it once more."""
        if not setting.channels:
            if again:
                raise LookupError("no sound in the mix yet: drag one into it, or press Enter on one")
            self.worker.cancel()
            return
        begin = time.perf_counter()

        def job(stopped: Stopped) -> None:
            with failing(self._say, "no new sound", stopped):
                words = setting.words()
                if new := setting != self._sounding:
                    sound = self.tool.generate(**setting.arguments())
                    if stopped():
                        return
                    self.sound, self._sounding = sound, setting
                if new or again:
                    self.hear(self.sound, words)
                    self.status = f"{words}: made in {time.perf_counter() - begin:.2f} s" if new else words
                if padded:
                    self.add_pad(self.sound, words)
                self._picture(self.sound, stopped)

        self.worker.submit(job)

    def _play(self, index: int) -> None:
        config, library = self.tool.model.audio, self.tool.library
        path, onset, title = library.files[index], float(library.onsets[index]), self._title(index)

        def job(stopped: Stopped) -> None:
            with failing(self._say, "cannot play", stopped):
                sound = Sound(audio.read(path, config.sample_rate, onset, config.clip_seconds), config.sample_rate)
                self.hear(sound, title)
                self.status = printable(title)
                self._picture(sound, stopped)

        self._sounding = None
        self.worker.submit(job)

    def _decode(self, place: tuple[float, float], live: bool) -> None:
        library = self.tool.library

        def job(stopped: Stopped) -> None:
            with failing(self._say, "not decoded", stopped):
                z, near = umap_map.latent_at(self.coordinates, library.embeddings, place)
                sound = self.tool.decode(z[None], detail=1.0)[0]
                if stopped():
                    return
                numbers, distances = nearest(library.points, library.probed(z), min(NAMED, len(library)))
                names = [f"{self._title(row)} ({far:.2f})" for row, far in zip(numbers, distances, strict=True)]
                self.sound, self.mark = sound, {"at": list(place), "near": near.tolist()}
                self.hear(sound, f"place near {self._title(numbers[0])}")
                self.status = printable(f"decoded; nearest: {', '.join(names)}")
                if not live:
                    self.add_pad(sound, f"near {Path(self.tool.library.files[numbers[0]]).stem}")
                self._picture(sound, stopped)

        self._sounding = None
        self.worker.submit(job)

    def _picture(self, sound: Sound, stopped: Stopped) -> None:
        if not stopped():
            self.draw(sound, self.tool.model.audio)

    def _save(self) -> None:
        if self.sound is None:
            raise LookupError("make a sound first")
        self.status = f"saved {printable(self.sound.save(free(self.folder / 'sound.wav')))} with its recipe"

    def _share(self, sounds: str) -> None:
        path = free(self.folder / "instrument.html")

        def job(_: Stopped) -> None:
            with failing(self._say, "not shared"):
                shared = share(self.tool, path, sounds=sounds, coordinates=self.coordinates, progress=False)
                self._say(shared.report().splitlines()[0])

        self.status = "writing a page to share; the instrument plays meanwhile"
        self.writer.keep(job)

    # The map

    def _colour(self, name: str) -> None:
        self.colour(self._colours[name], name)
        self.colouring = {"names": list(self._colours), "name": name}

    def _channel(self, index: int) -> Channel:
        channel = Channel(Path(self.tool.library.files[index]), float(self.tool.library.onsets[index]))
        self._rows[channel.path, channel.offset] = index
        return channel

    def _title(self, index: int) -> str:
        return clip_name(self.tool.library.files[index], float(self.tool.library.onsets[index]))

    def _say(self, text: str) -> None:
        self.status = printable(text)


def _whole(number: Any, count: int) -> int:
    """A whole number from 0 up to a count; what a page asks for is checked."""
    if not 0 <= int(number) < count:
        raise LatentError(f"expected a number from 0 to {count - 1}, found {number}")
    return int(number)
