"""The map of a library to play on: points are heard, places between them decoded, a lasso gathers for the mixer.

A view and its callbacks: these hand what was asked to one thread, which sends the sound and only then draws it.
"""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import ipywidgets
import numpy as np
from matplotlib.path import Path as Outline

from vaelab import audio
from vaelab.audio import Sound, descriptors
from vaelab.library import nearest, umap_map
from vaelab.play import SoundSampleTool
from vaelab.play.latent import LatentError
from vaelab.text import clip_name, printable, short_name
from vaelab.ui import map_labels
from vaelab.ui.controls import Status, button, check, free, line, wide
from vaelab.ui.mapview import MapView
from vaelab.ui.mixer import Mixer
from vaelab.ui.player import Player
from vaelab.ui.worker import Latest, Stopped

NAMED = 3  # nearest real sounds of a decoded place
LABELS, LABELS_FILE = "label", "labels.csv"
FIRST_CHOICES = ("class", "folder")


class SoundMap(ipywidgets.VBox):
    """All sounds of a library on a plane.

    Attributes:
        tool: The model in use, with its library.
        coordinates: float32 (n, 2), where the sounds lie.
        view: The canvas; tests ask by setting `view.asked`.
        mixer: Where a lasso's sounds go, or None.
        worker, measurer: Make the sounds, and measure descriptors; `wait()` until there is nothing left to do.
        sound: The newest decoded sound, or None.
        chosen: Indices of the sounds within the last lasso.
        labels: Names given to sounds by `give`, by index; they are kept in `labels_file` and found there again.
        labels_file: `labels.csv` (`vaelab.ui.map_labels`) in the folder where sounds are saved.
        colour, autoplay, player, send, label, give, name, save, progress, cancel, status: The controls.
    """

    def __init__(
        self,
        tool: SoundSampleTool,
        coordinates: np.ndarray,
        colours: Mapping[str, Sequence[str | None] | np.ndarray] | None = None,
        mixer: Mixer | None = None,
        folder: str | os.PathLike = "generated",
        sync: bool = False,
    ):
        """Show the sounds of `tool.library` at coordinates (n, 2) such as `library.umap_map` gives.

        They can be coloured by `colours`, names or numbers for each, beside what is known of every sound. The mixer
        takes the sounds of a lasso, and is shown below; decoded sounds and labels are saved in the folder. With
        `sync`, everything is done within the callbacks, for tests.
        """
        check_coordinates(tool, coordinates)
        self.tool, self.mixer = tool, mixer
        self.coordinates = np.asarray(coordinates, np.float32)
        self.worker, self.measurer = Latest(sync), Latest(sync)
        self.sound: Sound | None = None
        self.chosen = np.zeros(0, np.uint32)
        self.labels: dict[int, str] = {}
        self.labels_file = Path(folder) / LABELS_FILE
        self._colours = {**attributes(tool), **(colours or {})}
        self.view = MapView(self.coordinates, [short_name(path) for path in tool.library.files])
        self._build(folder)
        super().__init__(self._lines())
        self._listen()
        self._colour()
        with self.status.failing("no labels"):
            self._recall(map_labels.read(self.labels_file))

    def _build(self, folder: str | os.PathLike) -> None:
        first = next((name for name in FIRST_CHOICES if name in self._colours), next(iter(self._colours)))
        self.colour = ipywidgets.Dropdown(
            options=self._choices(), value=first, description="colour", layout=wide("18em")
        )
        self.autoplay = check("play at once", True, "9em")
        self.progress = ipywidgets.IntProgress(value=0, min=0, max=1, layout=wide("8em"))
        self.cancel = button("stop", "stop measuring", "cancel")
        self.player, self._player_box = Player(), ipywidgets.VBox()
        self.status = Status()
        self.status.say(f"{len(self.coordinates)} sounds")
        self.send = button("sliders", "add the sounds in the lasso to the mixer", "to the mixer")
        self.label = ipywidgets.Text(placeholder="a name for the sounds in the lasso", layout=wide("18em"))
        self.give = button("tag", "give the sounds in the lasso this name", "label")
        self.name = ipywidgets.Text(value=str(Path(folder) / "place.wav"), description="file")
        self.save = button("download", "write the decoded sound and its recipe", "save")

    def _lines(self) -> list[ipywidgets.Widget]:
        sends, mixers = ([], []) if self.mixer is None else ([self.send], [self.mixer])
        choices = line(self.colour, self.autoplay, self.progress, self.cancel)
        gathered, saving = line(*sends, self.label, self.give), line(self.name, self.save)
        return [choices, self.view, self.status, self._player_box, gathered, saving, *mixers]

    def _listen(self) -> None:
        self.view.observe(lambda change: self._asked(change["new"]), names="asked")
        self.colour.observe(lambda _: self._colour(), names="value")
        self.send.on_click(lambda _: self._send())
        self.give.on_click(lambda _: self._give())
        self.save.on_click(lambda _: self._save())
        self.cancel.on_click(lambda _: self._cancel())

    def _asked(self, what: dict) -> None:
        with self.status.failing("not done"):
            if what["kind"] == "play":
                self._play(int(what["index"]))
            elif what["kind"] == "decode":
                self._decode((float(what["x"]), float(what["y"])))
            elif what["kind"] == "lasso":
                self._choose(np.asarray(what["corners"], float))

    def _play(self, index: int) -> None:
        config, library, autoplay = self.tool.model.audio, self.tool.library, self.autoplay.value
        path, onset = library.files[index], float(library.onsets[index])

        def job(stopped: Stopped) -> None:
            with self.status.failing("cannot play", stopped):
                samples = audio.read(path, config.sample_rate, onset, config.clip_seconds)
                self._hear(Sound(samples, config.sample_rate), clip_name(path, onset), autoplay, stopped)

        self.worker.submit(job)

    def _decode(self, place: tuple[float, float]) -> None:
        autoplay, library = self.autoplay.value, self.tool.library

        def job(stopped: Stopped) -> None:
            with self.status.failing("not decoded", stopped):
                z, near = umap_map.latent_at(self.coordinates, library.embeddings, place)
                sound = self.tool.decode(z[None], detail=1.0)[0]
                if stopped():
                    return
                self.sound = sound
                numbers, distances = nearest(library.points, library.probed(z), min(NAMED, len(library)))
                names = [f"{self._title(number)} ({far:.2f})" for number, far in zip(numbers, distances, strict=True)]
                self.view.mark = {"at": list(place), "near": near.tolist()}
                self._hear(sound, f"decoded; nearest: {', '.join(names)}", autoplay, stopped)

        self.worker.submit(job)

    def _hear(self, sound: Sound, title: str, autoplay: bool, stopped: Stopped) -> None:
        self._player_box.children = [self.player]
        self.player.autoplay = autoplay
        self.player.hear(sound, title)
        self.status.say(title)
        if not stopped():
            self.player.draw(sound, self.tool.model.audio)

    def _choose(self, corners: np.ndarray) -> None:
        inside = Outline(corners).contains_points(self.coordinates)
        self.chosen = np.flatnonzero(inside).astype("<u4")
        self.view.selected = self.chosen.tobytes()
        self.status.say(f"{len(self.chosen)} sounds in the lasso")

    def _send(self) -> None:
        library = self.tool.library
        with self.status.failing("not added"):
            if not len(self.chosen):
                raise LookupError("draw a lasso around some sounds first")
            files = [library.files[number] for number in self.chosen]
            self.status.say(self.mixer.add_sounds(files, library.onsets[self.chosen]))

    def _give(self) -> None:
        with self.status.failing("not labelled"):
            name = printable(self.label.value.strip())
            if not name or not len(self.chosen):
                raise LookupError("draw a lasso around some sounds, and write a name")
            path = self.tool.library.index.path
            given = {self._contents[index]: (name, path(index)) for index in self.chosen.tolist()}
            labels = map_labels.read(self.labels_file) | given  # also those of other libraries
            map_labels.write(self.labels_file, labels)
            self._recall(labels)
            self.colour.value = LABELS
            self._colour()
            self.status.say(f"{len(self.chosen)} sounds are now {name}; kept in {self.labels_file}")

    def _recall(self, labels: Mapping[map_labels.Key, tuple[str, str]]) -> None:
        """Label the sounds of this library that have a name among those that are kept; copies share theirs."""
        keys = self._contents if labels else []
        self.labels = {index: labels[key][0] for index, key in enumerate(keys) if key in labels}
        if self.labels:
            self._colours[LABELS] = [self.labels.get(index) for index in range(len(self.coordinates))]
            self.colour.options = self._choices()

    @cached_property
    def _contents(self) -> list[map_labels.Key]:
        columns = self.tool.library.index.columns
        return [
            map_labels.key(sha256.tobytes().hex(), float(onset))
            for sha256, onset in zip(columns["hashes"], columns["onsets"], strict=True)
        ]

    def _choices(self) -> list[str]:
        return [*self._colours, *(name for name in descriptors.UNITS if name not in self._colours)]

    def _colour(self) -> None:
        name = self.colour.value
        if name in self._colours:
            unit = f" ({descriptors.UNITS[name]})" if name in descriptors.UNITS else ""
            self.view.colour(self._colours[name], f"{name}{unit}")
        else:
            self.measurer.submit(self._measure)

    def _measure(self, stopped: Stopped) -> None:
        """Measure the descriptors of every sound; those of sounds that cannot be read stay unknown."""
        library, config = self.tool.library, self.tool.model.audio
        self.progress.max, self.progress.value = len(self.coordinates), 0
        measured = np.full((len(self.coordinates), len(descriptors.UNITS)), np.nan)
        for index, (path, onset) in enumerate(zip(library.files, library.onsets, strict=True)):
            if stopped():
                return
            try:
                samples = audio.read(path, config.sample_rate, float(onset), config.clip_seconds)
                descriptor = descriptors.measure(samples, config.sample_rate)
                measured[index] = [descriptor[name] for name in descriptors.UNITS]
            except audio.AudioError as error:
                self.status.say(f"not measured: {error}")
            if index % 10 == 0:
                self.progress.value = index
        self.progress.value = self.progress.max
        self._colours |= dict(zip(descriptors.UNITS, measured.T, strict=True))
        self._colour()

    def _cancel(self) -> None:
        self.measurer.cancel()
        self.progress.value = 0
        self.status.say("stopped")

    def _save(self) -> None:
        with self.status.failing("not saved"):
            if self.sound is None:
                raise LookupError("click beside the points first, to decode a place")
            self.status.say(f"saved {self.sound.save(free(Path(self.name.value)))} with its recipe")

    def _title(self, index: int) -> str:
        return clip_name(self.tool.library.files[index], float(self.tool.library.onsets[index]))


def check_coordinates(tool: SoundSampleTool, coordinates: np.ndarray) -> None:
    """Refuse, with a LatentError, a tool without a library, and coordinates that are not (sounds, 2)."""
    count = 0 if tool.library is None else len(tool.library.files)
    if np.shape(coordinates) != (count, 2) or not count:
        raise LatentError(
            f"map: expected a tool with a library and coordinates (sounds, 2), found {count} sounds "
            f"and shape {np.shape(coordinates)}"
        )


def attributes(tool: SoundSampleTool) -> dict[str, Sequence[str] | np.ndarray]:
    """Attributes of every sound of a library that need no decoding."""
    attributes = {"folder": [path.parent.name for path in tool.library.files]}
    if np.any(tool.library.onsets):
        attributes["time (s)"] = np.asarray(tool.library.onsets, float)
    return attributes
