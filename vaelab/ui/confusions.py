"""A confusion matrix to hear: a click on a cell plays the sounds that were heard so, one after another."""

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import ipywidgets
from matplotlib import colormaps
from matplotlib.colors import to_hex

from vaelab import audio
from vaelab.audio import Sound
from vaelab.play import SoundSampleTool
from vaelab.text import inert, short_name
from vaelab.ui.controls import Status, button, line, wide
from vaelab.ui.player import Player
from vaelab.ui.worker import Latest, Stopped

CELL, HEAD = "3.2em", "10em"
UPRIGHT = f"writing-mode: vertical-rl; transform: rotate(180deg); height: {HEAD}; line-height: 2"
HELP = "rows: the true class, columns: what it was heard as; click a number to hear these sounds"
SHADES = (0.0, 0.45)  # of the colour map: dark enough to tell, light enough for dark digits


class Confusions(ipywidgets.VBox):
    """Confusion matrix with a player: true classes as rows, predicted classes as columns.

    Attributes:
        tool: With a classifier.
        worker: Classifies, and plays; `worker.wait()` until it is done.
        confused: Files by (true class, predicted class), filled as they are classified.
        cells: The buttons by (true class, predicted class), once all are classified.
        player, progress, cancel, status: The controls.
    """

    def __init__(
        self,
        tool: SoundSampleTool,
        audio_files: Sequence[str | os.PathLike],
        labels: Sequence[str | None],
        sync: bool = False,
    ):
        """Classify files whose classes are known, in batches; those labelled None are left out.

        With `sync`, everything is done within the callbacks, for tests.
        """
        self.tool, self.worker = tool, Latest(sync)
        self.confused: dict[tuple[str, str], list[Path]] = defaultdict(list)
        self.cells: dict[tuple[str, str], ipywidgets.Button] = {}
        self._turns: dict[tuple[str, str], int] = defaultdict(int)
        self._files = [
            (Path(path), label) for path, label in zip(audio_files, labels, strict=True) if label is not None
        ]
        self.progress = ipywidgets.IntProgress(value=0, min=0, max=max(1, len(self._files)), layout=wide("8em"))
        self.cancel = button("stop", "stop classifying", "cancel")
        self.cancel.on_click(lambda _: self._cancel())
        self.player, self.status = Player(autoplay=True), Status()
        self._grid, self._player_box = ipywidgets.VBox(), ipywidgets.VBox()
        self._running = line(self.progress, self.cancel)
        super().__init__([self._running, self._grid, self.status, self._player_box])
        self.add_class("vaelab-confusions")
        self.worker.submit(self._classify)

    def _classify(self, stopped: Stopped) -> None:
        with self.status.failing("not classified", stopped):
            unread = []
            answers = self.tool.classify([path for path, _ in self._files])
            for number, ((_, label), answer) in enumerate(zip(self._files, answers, strict=True), start=1):
                if stopped():
                    return
                if answer.name is None:
                    unread.append(f"{short_name(answer.path)}: {answer.reason}")
                else:
                    self.confused[label, answer.name].append(answer.path)
                self.progress.value = number
            self._draw()
            self._running.layout.display = "none"
            remark = f"; not classified: {'; '.join(unread)}" if unread else ""
            self.status.say(f"{HELP}{remark}")

    def _draw(self) -> None:
        names = sorted({name for pair in self.confused for name in pair})
        head = ipywidgets.HBox([_name("", HEAD), *(_name(name, CELL, UPRIGHT) for name in names)])
        self._grid.children = [head, *(ipywidgets.HBox(self._row(true, names)) for true in names)]

    def _row(self, true: str, names: Sequence[str]) -> list[ipywidgets.Widget]:
        total = sum(len(self.confused.get((true, predicted), ())) for predicted in names)
        cells = [_name(true, HEAD)]
        for predicted in names:
            files = self.confused.get((true, predicted), ())
            cells.append(self._cell((true, predicted), len(files), total) if files else _name("", CELL))
        return cells

    def _cell(self, pair: tuple[str, str], count: int, total: int) -> ipywidgets.Button:
        colour = to_hex(colormaps["Blues"](SHADES[0] + (SHADES[1] - SHADES[0]) * count / total))
        cell = ipywidgets.Button(description=str(count), layout=wide(CELL))
        cell.style.button_color = colour
        cell.on_click(lambda _: self._play(pair))
        self.cells[pair] = cell
        return cell

    def _play(self, pair: tuple[str, str]) -> None:
        """Play the next sound of a cell, after the last the first again."""
        files, turn = self.confused[pair], self._turns[pair]
        self._turns[pair] = (turn + 1) % len(files)
        path, (true, predicted) = files[turn], pair

        def job(stopped: Stopped) -> None:
            with self.status.failing("cannot play", stopped):
                config = self.tool.model.audio
                _, samples = audio.read_clip(path, config.sample_rate, None, config.clip_seconds)
                self._player_box.children = [self.player]
                title = f"{short_name(path)}: {true} heard as {predicted}, {turn + 1} of {len(files)}"
                self.player.hear(Sound(samples, config.sample_rate), title)
                self.status.say(title)

        self.worker.submit(job)

    def _cancel(self) -> None:
        self.worker.cancel()
        self.status.say(f"stopped after {self.progress.value} of {len(self._files)} sounds")


def _name(text: str, width: str, style: str = "") -> ipywidgets.HTML:
    shown = f"<div style='overflow: hidden; white-space: nowrap; {style}'>{inert(text)}</div>"
    return ipywidgets.HTML(shown, layout=ipywidgets.Layout(width=width, margin="2px"))
