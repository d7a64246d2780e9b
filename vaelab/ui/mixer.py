"""The mixer: a row for each sound, controls for chance, the result to hear, see, compare and keep.

A view and its callbacks: these take the setting and hand it to one thread, which makes the sound, sends it, and only
then draws it. Widgets keep to what ipywidgets 7.7 has.
"""

import os
import secrets
import time
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import ipywidgets
import numpy as np

from vaelab import audio, files
from vaelab.audio import Sound
from vaelab.play import SoundSampleTool, check_files
from vaelab.text import inert, short_name
from vaelab.ui.controls import Status, amount, button, check, free, line, toggle, wide
from vaelab.ui.mixer_state import SEEDS, SLOTS, Channel, History, Setting, channels
from vaelab.ui.pads import Pads
from vaelab.ui.player import Player
from vaelab.ui.worker import Latest, Stopped

WEIGHT_STEP = 0.05
MOST_ROWS = 16
SIMILAR = 3  # sounds added at once
ONE_LINE = "width: 18em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap"


class Row(ipywidgets.HBox):
    """One sound of the mixer.

    Attributes:
        play: Button that plays the file itself.
        mute: Toggle that leaves the sound out.
        solo: Toggle that leaves the others out.
        weight: Slider, -2 to 2.
        remove: Button that takes the row away.
    """

    def __init__(self, channel: Channel):
        """Show a row for a sound as it is set."""
        self._channel = channel
        self.play = button("play", "play the original")
        self.mute = toggle("volume-off", "leave this sound out", channel.mute)
        self.solo = toggle("headphones", "this sound alone, with other such ones", channel.solo)
        self.weight = ipywidgets.FloatSlider(
            value=channel.weight, min=-2.0, max=2.0, step=WEIGHT_STEP, continuous_update=False, layout=wide("22em")
        )
        self.remove = button("times", "take this sound away")
        name = ipywidgets.HTML(
            f"<div style='{ONE_LINE}'>{inert(short_name(channel.path))}</div>",
            layout=ipywidgets.Layout(width="18em", margin="2px 0.8em"),
        )
        super().__init__(
            [self.play, self.mute, self.solo, name, self.weight, self.remove],
            layout=ipywidgets.Layout(align_items="center"),
        )

    @property
    def channel(self) -> Channel:
        """The sound as it is set now."""
        weight = round(self.weight.value, 6)  # sliders give 0.30000000000000004
        return Channel(self._channel.path, self._channel.offset, weight, self.mute.value, self.solo.value)

    def set(self, channel: Channel) -> None:
        """Set the row to a channel of the same sound."""
        self.weight.value, self.mute.value, self.solo.value = channel.weight, channel.mute, channel.solo


class Mixer(ipywidgets.VBox):
    """A weight for each sound, variance, spread, a seed: every change makes a new sound, plays it and draws it.

    Attributes:
        tool: The model in use.
        worker: Makes the sounds; `worker.wait()` until there is nothing left to make.
        rows: One `Row` for each sound.
        sound: The newest result, or None before the first.
        variance: Of the noise added to the embedding.
        spread: Scale of draws from each sound's posterior.
        detail: How much of the sounds' own detail is put back.
        normalize: Whether weights are divided by their sum.
        stereo: Whether mixes and originals have two channels where a sound has two.
        label: Class of the random sounds that a mixer without rows makes; there only where the model has classes.
        seed: Of all that is random.
        dice: Button that takes a new seed.
        autoplay: Whether a new sound plays at once.
        slot: "A" or "B", two settings to compare.
        undo: Button that goes one step back.
        file: Path for `add`.
        add: Button that adds the file.
        target: The row that `similar` looks around.
        similar: Button that adds the library's nearest sounds; there only with a library.
        progress: 0 idle, 1 asked, 2 sent, 3 drawn.
        cancel: Button that stops what is being made.
        status: What was made, or why not.
        player: The result.
        pads: The last results, to play and to save as a kit.
        original: The sound whose play button was clicked last.
        name: Where `save` writes to.
        save: Button that writes the sound and its recipe; a name that is taken gets a number.
    """

    def __init__(
        self,
        tool: SoundSampleTool,
        audio_files: Sequence[str | os.PathLike] = (),
        folder: str | os.PathLike = "generated",
        sync: bool = False,
    ):
        """Show a mixer of `audio_files` that saves to `folder`, and make the first sound.

        With `sync`, sounds are made within the callbacks, for tests.
        """
        check_files(audio_files)
        self.tool = tool
        self.worker = Latest(sync)
        self.sound: Sound | None = None
        self.rows: list[Row] = []
        self._setting_rows = False
        self._history = History(Setting(tuple(channels(audio_files, [None] * len(audio_files)))))
        self._build(folder)
        self._listen()
        super().__init__(self._lines())
        self._show(self._history.present)
        if audio_files:
            self._make(autoplay=False)

    @property
    def setting(self) -> Setting:
        """The setting that the controls show."""
        rows = tuple(row.channel for row in self.rows)
        chance = round(self.variance.value, 6), round(self.spread.value, 6), self.seed.value
        detail, label, stereo = round(self.detail.value, 6), self.label.value or None, self.stereo.value
        return Setting(rows, self.normalize.value, *chance, detail, label, stereo)

    def add_sounds(self, paths: Iterable[str | os.PathLike], offsets: Iterable[float] | None = None) -> str:
        """Add sounds that are not there yet, `MOST_ROWS` in all at most, and make the new mix; says what it did."""
        paths = list(paths)
        check_files(paths)
        new = channels(paths, [None] * len(paths) if offsets is None else offsets)
        present = {_place(row.channel) for row in self.rows}
        new = [channel for channel in new if _place(channel) not in present]
        left = max(0, MOST_ROWS - len(self.rows))
        self._show(replace(self.setting, channels=(*self.setting.channels, *new[:left])))
        self._changed()
        return f"added {min(left, len(new))} of {len(paths)} sounds; a mixer has {MOST_ROWS} different ones at most"

    def _build(self, folder: str | os.PathLike) -> None:
        self.variance = amount("variance", 2.0)
        self.spread = amount("spread", 3.0)
        self.detail = amount("detail", 1.0)
        self.normalize = check("normalise weights", True, "12em")
        self.stereo = check("stereo", False, "6em")
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=SEEDS, description="seed", layout=wide("14em"))
        names = [("any class", ""), *((name, name) for name in self.tool.class_names)]
        self.label = ipywidgets.Dropdown(options=names, layout=wide("12em"))
        self.dice = button("random", "a new seed", "roll")
        self.autoplay = check("play at once", True, "9em")
        self.slot = ipywidgets.ToggleButtons(options=SLOTS, style={"button_width": "3em"}, layout=wide("9em"))
        self.undo = button("undo", "one step back", "undo")
        self.file = ipywidgets.Text(placeholder="path of a sound file", layout=wide("22em"))
        self.add = button("plus", "add this file", "add")
        self.target = ipywidgets.Dropdown(options=[], layout=wide("18em"))
        self.similar = button("search-plus", f"add the {SIMILAR} nearest sounds of the library", "add similar")
        self.progress = ipywidgets.IntProgress(value=0, min=0, max=3, layout=wide("8em"))
        self.cancel = button("stop", "stop what is being made", "cancel")
        self.status = Status()
        self.player, self.original = Player(), Player(autoplay=True)
        self.pads = Pads(folder)
        self.name = ipywidgets.Text(value=str(Path(folder) / "mix.wav"), description="file")
        self.save = button("download", "write the sound and its recipe", "save")
        self._rows_box, self._original_box = ipywidgets.VBox(), ipywidgets.VBox()

    def _lines(self) -> list[ipywidgets.Widget]:
        label = [self.label] if self.tool.class_names else []
        similar = [] if self.tool.library is None else [line(self.target, self.similar)]
        return [
            self._rows_box,
            line(self.file, self.add, *similar),
            line(self.variance, self.spread, self.detail),
            line(self.seed, self.dice, *label, self.normalize, self.stereo, self.autoplay),
            line(self.slot, self.undo, self.progress, self.cancel),
            self.status,
            self.player,
            self._original_box,
            self.pads,
            line(self.name, self.save),
        ]

    def _listen(self) -> None:
        for control in (self.variance, self.spread, self.detail, self.normalize, self.stereo, self.label, self.seed):
            control.observe(self._changed, names="value")
        self.slot.observe(self._switched, names="value")
        self.dice.on_click(lambda _: setattr(self.seed, "value", secrets.randbelow(SEEDS)))
        self.undo.on_click(lambda _: self._undo())
        self.add.on_click(lambda _: self._add_file())
        self.similar.on_click(lambda _: self._add_similar())
        self.cancel.on_click(lambda _: self._cancel())
        self.save.on_click(lambda _: self._save())

    def _changed(self, _=None) -> None:
        if not self._setting_rows and self._history.change(self.setting):
            self._make(self.autoplay.value)

    def _switched(self, change) -> None:
        self._history.open(change["new"])
        self._show(self._history.present)
        self._make(self.autoplay.value)

    def _undo(self) -> None:
        if self._history.undo():
            self._show(self._history.present)
            self._make(self.autoplay.value)
        else:
            self.status.say("nothing to undo")

    def _show(self, setting: Setting) -> None:
        """Set every control, with one sound at the end of it and not one for each."""
        self._setting_rows = True
        try:
            if _sounds(setting.channels) != _sounds(row.channel for row in self.rows):
                self._rebuild(setting.channels)
            for row, channel in zip(self.rows, setting.channels, strict=True):
                row.set(channel)
            self.normalize.value, self.seed.value = setting.normalize, setting.seed
            self.variance.value, self.spread.value = setting.variance, setting.spread
            self.detail.value, self.label.value = setting.detail, setting.label or ""
            self.stereo.value = setting.stereo
        finally:
            self._setting_rows = False

    def _rebuild(self, wanted: Sequence[Channel]) -> None:
        """Show these sounds; rows that stay are the same widgets, so that the page does not flicker."""
        rows = dict(zip(_sounds(row.channel for row in self.rows), self.rows, strict=True))
        self.rows = [rows.pop((channel.path, channel.offset), None) or self._row(channel) for channel in wanted]
        self._rows_box.children = self.rows
        at = self.target.index or 0
        self.target.options = [(short_name(row.channel.path), number) for number, row in enumerate(self.rows)]
        self.target.index = min(at, len(self.rows) - 1) if self.rows else None

    def _row(self, channel: Channel) -> Row:
        row = Row(channel)
        for control in (row.weight, row.mute, row.solo):
            control.observe(self._changed, names="value")
        row.play.on_click(lambda _: self._play(row.channel))
        row.remove.on_click(lambda _: self._remove(row))
        return row

    def _remove(self, gone: Row) -> None:
        self._show(replace(self.setting, channels=tuple(row.channel for row in self.rows if row is not gone)))
        self._changed()

    def _make(self, autoplay: bool) -> None:
        """Make the sound of the present setting, unless a newer one comes before."""
        setting, asked = self._history.present, time.perf_counter()

        def job(stopped: Stopped) -> None:
            self.progress.value = 1
            with self.status.failing("no new sound", stopped):
                sound = self.tool.generate(**setting.arguments())
                if not stopped():
                    self.sound, self.player.autoplay = sound, autoplay
                    self.player.hear(sound, setting.words())
                    self.pads.add_pad(sound, setting.words())
                    self.progress.value = 2
                    seconds = time.perf_counter() - asked
                    self.status.say(f"{setting.words()}: {_measures(sound)}, made in {seconds:.2f} s")
                if not stopped():
                    self.player.draw(sound, self.tool.model.audio)
                    self.progress.value = 3
            if self.progress.value == 1:
                self.progress.value = 0

        self.worker.submit(job)

    def _cancel(self) -> None:
        self.worker.cancel()
        self.progress.value = 0
        self.status.say("stopped; the sound before is still there")

    def _play(self, channel: Channel) -> None:
        wanted = "source" if self.stereo.value else "mono"

        def job(stopped: Stopped) -> None:
            with self.status.failing("cannot play", stopped):
                config = self.tool.model.audio
                stretch = self._start(channel), config.clip_seconds
                samples = audio.read(channel.path, config.sample_rate, *stretch, channels=wanted)
                self._original_box.children = [self.original]
                self.original.hear(Sound(samples, config.sample_rate), f"original: {short_name(channel.path)}")

        self.worker.keep(job)

    def _save(self) -> None:
        """Make the sound again under its name, so that its recipe names the sources as seen from there."""
        setting, wanted = self.setting, Path(self.name.value)

        def job(stopped: Stopped) -> None:
            with self.status.failing("not saved", stopped):
                path = free(wanted)
                self.tool.generate(out_file=path, **setting.arguments())
                self.status.say(f"saved {path} with its recipe")

        self.worker.keep(job)

    def _add_file(self) -> None:
        path = Path(self.file.value.strip())
        with self.status.failing("not added"):
            audio.read(path, self.tool.model.audio.sample_rate, seconds=self.tool.model.audio.clip_seconds)
            self.add_sounds([path])

    def _add_similar(self) -> None:
        with self.status.failing("not added"):
            row = self.rows[self.target.value or 0] if self.rows else None
            if row is None:
                raise LookupError("there is no sound yet to look around")
            paths, onsets, _ = self.tool.find_similar(row.channel.path, MOST_ROWS + SIMILAR, offset=row.channel.offset)
            present = {_place(replace(part.channel, offset=self._start(part.channel))) for part in self.rows}
            new = [channel for channel in channels(paths, onsets) if _place(channel) not in present]
            if not new:
                raise LookupError("every similar sound is here already")
            self.add_sounds(*zip(*((channel.path, channel.offset) for channel in new[:SIMILAR]), strict=True))

    def _start(self, channel: Channel) -> float:
        """The second at which the clip of a channel starts."""
        if channel.offset is not None:
            return channel.offset
        config = self.tool.model.audio
        return audio.read_clip(channel.path, config.sample_rate, None, config.clip_seconds)[0]


def _place(channel: Channel) -> tuple[str, float | None]:
    """The file of a channel, however it is called, and the offset to a thousandth of a second."""
    path = os.path.realpath(files.from_home(channel.path))
    return path, None if channel.offset is None else round(channel.offset, 3)


def _sounds(entries: Iterable[Channel]) -> list[tuple[Path, float | None]]:
    return [(channel.path, channel.offset) for channel in entries]


def _measures(sound: Sound) -> str:
    peak = 20 * np.log10(max(float(np.abs(sound.samples).max()), 1e-9))
    return f"{sound.seconds:.2f} s, peak {peak:.1f} dBFS"
