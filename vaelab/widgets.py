"""What notebooks show: tables with players, curves that grow while training runs, the mixer.

Views and callbacks only; the tool does every sum. Widgets keep to what ipywidgets 7.7 has. Names of files and
classes come from outside: they reach the page through `inert` alone, as text that is neither HTML nor a formula.
"""

import html
import io
import os
import secrets
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ipywidgets
import numpy as np
import soundfile
from IPython.display import display

from vaelab import audio, plots, spectral
from vaelab.audio import Sound, printable
from vaelab.latent import LatentError
from vaelab.tool import SoundSampleTool
from vaelab.train import Evaluation

WEIGHT_STEP = 0.05
SEEDS = 2**31 - 1
NAME_LENGTH = 40
ONE_LINE = "width: 18em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap"


class Table:
    """Columns of texts, numbers and sounds, which shows itself in a notebook; a sound is a player."""

    def __init__(self, columns: Mapping[str, Sequence[Any]]):
        """Show columns of equal length under their names."""
        self.names, self.rows = list(columns), list(zip(*columns.values(), strict=True))

    def __repr__(self) -> str:
        lines = [self.names, *([_text(cell) for cell in row] for row in self.rows)]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align: left'>{inert(name)}</th>" for name in self.names)
        body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in self.rows)
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


class LiveCurves:
    """Training curves that are drawn anew at each evaluation: `train(..., on_evaluation=LiveCurves())`."""

    def __init__(self, history: Sequence[Mapping[str, float]] = ()):
        """Begin with the curves of an earlier run, if there was one."""
        self._shown = display(plots.training_curves(history), display_id=True) if history else None

    def __call__(self, evaluation: Evaluation) -> None:
        """Draw the history so far in place of the picture before."""
        picture = plots.training_curves(evaluation.history)
        if self._shown is None:
            self._shown = display(picture, display_id=True)
        else:
            self._shown.update(picture)


class Row(ipywidgets.HBox):
    """One sound of the mixer.

    Attributes:
        path: Its file.
        weight: Slider, -2 to 2.
        mute: Toggle that leaves the sound out.
        play: Button that plays the file itself.
    """

    def __init__(self, path: Path):
        """Show a row for a file, with weight 1."""
        self.path = path
        self.weight = ipywidgets.FloatSlider(
            value=1.0, min=-2.0, max=2.0, step=WEIGHT_STEP, continuous_update=False, layout=_wide("22em")
        )
        self.mute = ipywidgets.ToggleButton(icon="volume-off", tooltip="leave this sound out", layout=_wide("3em"))
        self.play = ipywidgets.Button(icon="play", tooltip="play the original", layout=_wide("3em"))
        name = ipywidgets.HTML(
            f"<div style='{ONE_LINE}'>{inert(short_name(path))}</div>",
            layout=ipywidgets.Layout(width="18em", margin="2px 0.8em"),
        )
        super().__init__([self.play, self.mute, name, self.weight], layout=ipywidgets.Layout(align_items="center"))

    @property
    def counts(self) -> bool:
        """Whether the sound takes part in the mix."""
        return not self.mute.value and self.weight.value != 0


class Mixer(ipywidgets.VBox):
    """A weight for each sound, variance, spread, a seed: every change makes a new sound, plays it and draws it.

    Attributes:
        tool: The model in use.
        rows: One `Row` for each file.
        sound: The newest result, or None before the first.
        variance: Of the noise added to the embedding.
        spread: Scale of draws from each sound's posterior.
        normalize: Whether weights are divided by their sum.
        seed: Of all that is random.
        dice: Button that takes a new seed.
        autoplay: Whether a new sound plays at once.
        player: The result.
        original: The file whose play button was clicked last.
        picture: Waveform and spectrogram of the result.
        name: Where `save` writes to.
        save: Button that writes the sound and its recipe; a name that is taken gets a number.
        status: What was made, or why not.
    """

    def __init__(
        self,
        tool: SoundSampleTool,
        audio_files: Sequence[str | os.PathLike],
        folder: str | os.PathLike = "generated",
    ):
        """Show a mixer of `audio_files` that saves to `folder`, and make the first sound."""
        self.tool = tool
        self.rows = [Row(Path(path)) for path in audio_files]
        if not self.rows:
            raise LatentError("mixer: expected at least one sound, found none")
        self.sound: Sound | None = None
        self.variance = _amount("variance", 2.0)
        self.spread = _amount("spread", 3.0)
        self.normalize = ipywidgets.Checkbox(
            value=True, description="normalise weights", indent=False, layout=_wide("12em")
        )
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=SEEDS, description="seed", layout=_wide("14em"))
        self.dice = ipywidgets.Button(description="roll", icon="random", tooltip="a new seed", layout=_wide("6em"))
        self.autoplay = ipywidgets.Checkbox(value=True, description="play at once", indent=False, layout=_wide("9em"))
        self.status = ipywidgets.HTML()
        self.player = ipywidgets.Audio(value=b"", format="wav", autoplay=False, loop=False)
        self.original = ipywidgets.Audio(value=b"", format="wav", autoplay=True, loop=False)
        self.picture = ipywidgets.Image(value=b"", format="png", layout=ipywidgets.Layout(max_width="46em"))
        self.name = ipywidgets.Text(value=str(Path(folder) / "mix.wav"), description="file")
        self.save = ipywidgets.Button(description="save", icon="download", tooltip="write the sound and its recipe")
        self._original_box = _line()
        super().__init__(
            [
                *self.rows,
                _line(self.variance, self.spread),
                _line(self.seed, self.dice, self.normalize, self.autoplay),
                self.status,
                _line(self.player, self._original_box),
                self.picture,
                _line(self.name, self.save),
            ]
        )
        self._listen()
        self._make()

    def settings(self) -> dict[str, Any]:
        """The keyword arguments of `tool.generate` that the controls describe.

        Raises:
            LatentError: No sound takes part.
        """
        rows = [row for row in self.rows if row.counts]
        if not rows:
            raise LatentError("nothing to mix: every sound is muted or has weight 0")
        return {
            "audio_files": [row.path for row in rows],
            "weights": [row.weight.value for row in rows],
            "normalize_weights": self.normalize.value,
            "variance": self.variance.value,
            "spread": self.spread.value,
            "seed": self.seed.value,
        }

    def _listen(self) -> None:
        for control in (self.variance, self.spread, self.normalize, self.seed):
            control.observe(self._changed, names="value")
        for row in self.rows:
            row.weight.observe(self._changed, names="value")
            row.mute.observe(self._changed, names="value")
            row.play.on_click(lambda _, path=row.path: self._play(path))
        self.dice.on_click(lambda _: setattr(self.seed, "value", secrets.randbelow(SEEDS)))
        self.save.on_click(lambda _: self._save())

    def _changed(self, _) -> None:
        self.player.autoplay = self.autoplay.value
        self._make()

    def _make(self) -> None:
        """Make the sound that the controls describe; it plays before its picture is drawn."""
        with self._errors_shown("no new sound"):
            start = time.perf_counter()
            settings = self.settings()
            self.sound = self.tool.generate(**settings)
            self.player.value = _wav(self.sound)
            self._say(f"{_sum(settings)}: {_measures(self.sound)}, made in {time.perf_counter() - start:.2f} s")
            self.picture.value = _picture(self.sound, self.tool)

    def _play(self, path: Path) -> None:
        with self._errors_shown("cannot play"):
            config = self.tool.model.audio
            samples = audio.read(path, config.sample_rate, seconds=config.clip_seconds)
            self.original.value = _wav(Sound(samples, config.sample_rate))
            label = f"<div style='{ONE_LINE}'>original: {inert(short_name(path))}</div>"
            self._original_box.children = [self.original, ipywidgets.HTML(label)]

    def _save(self) -> None:
        """Make the sound again under its name, so that its recipe names the sources as seen from there."""
        with self._errors_shown("not saved"):
            path = _free(Path(self.name.value))
            self.tool.generate(out_file=path, **self.settings())
            self._say(f"saved {path} with its recipe")

    @contextmanager
    def _errors_shown(self, failure: str) -> Iterator[None]:
        """Show whatever fails: an error that leaves a callback is lost in the browser's log."""
        try:
            yield
        except Exception as error:
            self._say(f"{failure}: {error or type(error).__name__}")

    def _say(self, text: str) -> None:
        self.status.value = inert(text)


def inert(text: str) -> str:
    """Text as HTML that shows it and does nothing else.

    Dollar signs and backslashes stand in elements of their own, where no formula can begin.
    """
    escaped = html.escape(printable(text))
    return escaped.replace("\\", "<span>\\</span>").replace("$", "<span>$</span>")


def short_name(path: str | os.PathLike) -> str:
    """A file's name with its folder, which often says what it is; the end of it, where it is long."""
    path = Path(path)
    name = printable(f"{path.parent.name}/{path.stem}")
    return name if len(name) <= NAME_LENGTH else f"…{name[-NAME_LENGTH + 1 :]}"


def _cell(value: Any) -> str:
    content = value._repr_html_() if isinstance(value, Sound) else inert(_text(value))
    return f"<td style='text-align: left'>{content}</td>"


def _text(value: Any) -> str:
    if isinstance(value, Sound):
        return f"({value.seconds:.2f} s of sound)"
    return f"{value:.4g}" if isinstance(value, float | np.floating) else printable(str(value))


def _amount(name: str, largest: float) -> ipywidgets.FloatSlider:
    return ipywidgets.FloatSlider(
        value=0.0,
        min=0.0,
        max=largest,
        step=0.01,
        description=name,
        continuous_update=False,
        layout=_wide("22em"),
    )


def _line(*widgets: ipywidgets.Widget) -> ipywidgets.HBox:
    return ipywidgets.HBox(widgets, layout=ipywidgets.Layout(align_items="center", grid_gap="0.8em"))


def _wide(width: str) -> ipywidgets.Layout:
    return ipywidgets.Layout(width=width)


def _sum(settings: dict[str, Any]) -> str:
    """A mix in words, as in "1 kick_0001 - 0.5 drone_0003"."""
    terms = []
    for path, weight in zip(settings["audio_files"], settings["weights"], strict=True):
        sign = "− " if weight < 0 else "+ " if terms else ""
        terms.append(f"{sign}{abs(weight):g} {printable(path.stem)}")
    return " ".join(terms)


def _measures(made: Sound) -> str:
    peak = 20 * np.log10(max(float(np.abs(made.samples).max()), 1e-9))
    return f"{made.seconds:.2f} s, peak {peak:.1f} dBFS"


def _free(path: Path) -> Path:
    """The path, or the first of NAME_2, NAME_3, ... that is not taken."""
    numbered, number = path, 1
    while numbered.exists():
        number += 1
        numbered = path.with_name(f"{path.stem}_{number}{path.suffix}")
    return numbered


def _wav(made: Sound) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(made.samples, -1, 1), made.sample_rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def _picture(made: Sound, tool: SoundSampleTool) -> bytes:
    clip = spectral.fit_length(made.samples, tool.model.audio)
    features, _ = spectral.mel(clip[None], tool.model.audio)
    return plots.sound(made, features[0], tool.model.audio)._repr_png_()
