"""The mixer: sliders over sounds. Views and callbacks only; the tool does every sum."""

import io
import os
import secrets
from collections.abc import Sequence
from pathlib import Path

import ipywidgets
import numpy as np
import soundfile

from vaelab import plots, spectral
from vaelab.audio import AudioError, Sound, printable
from vaelab.latent import LatentError
from vaelab.tool import SoundSampleTool

WEIGHT_STEP = 0.05


class Mixer(ipywidgets.VBox):
    """A weight for each sound, a variance, a seed; every change makes a new sound, plays and draws it.

    Attributes:
        tool: The model in use.
        files: The sounds mixed.
        sound: The newest result, or None before the first.
        weights: One slider for each file, -2 to 2.
        variance: Of the noise added to the embedding.
        normalize: Whether weights are divided by their sum.
        seed: Of the noise.
        status: What was made, or why not.
    """

    def __init__(self, tool: SoundSampleTool, audio_files: Sequence[str | os.PathLike]):
        """Show a mixer of `audio_files` and make the first sound."""
        self.tool, self.files = tool, [Path(path) for path in audio_files]
        if not self.files:
            raise LatentError("mixer: expected at least one sound, found none")
        self.sound: Sound | None = None
        wide = ipywidgets.Layout(width="28em")
        self.weights = [
            ipywidgets.FloatSlider(
                value=1.0,
                min=-2.0,
                max=2.0,
                step=WEIGHT_STEP,
                description=_short(path),
                continuous_update=False,
                style={"description_width": "14em"},
                layout=ipywidgets.Layout(width="34em"),
            )
            for path in self.files
        ]
        self.variance = ipywidgets.FloatSlider(
            value=0.0,
            min=0.0,
            max=2.0,
            step=0.01,
            description="variance",
            continuous_update=False,
            layout=wide,
        )
        self.normalize = ipywidgets.Checkbox(value=True, description="normalise weights")
        self.seed = ipywidgets.BoundedIntText(value=0, min=0, max=2**31 - 1, description="seed")
        self.dice = ipywidgets.Button(description="roll", icon="random", tooltip="a new seed")
        self.name = ipywidgets.Text(value="mix.wav", description="file")
        self.save = ipywidgets.Button(description="save", icon="download", tooltip="write the sound and recipe")
        self.status = ipywidgets.Label()
        self.player = ipywidgets.Audio(value=b"", format="wav", autoplay=False, loop=False)
        self.picture = ipywidgets.Image(value=b"", format="png")
        super().__init__(
            [
                *self.weights,
                ipywidgets.HBox([self.variance, self.normalize]),
                ipywidgets.HBox([self.seed, self.dice]),
                self.status,
                self.player,
                self.picture,
                ipywidgets.HBox([self.name, self.save]),
            ]
        )
        for control in (*self.weights, self.variance, self.normalize, self.seed):
            control.observe(self._changed, names="value")
        self.dice.on_click(self._roll)
        self.save.on_click(self._save)
        self._changed(None)

    def _changed(self, _) -> None:
        """Make the sound that the controls describe, or say why there is none."""
        try:
            made = self.tool.generate(
                audio_files=self.files,
                weights=[slider.value for slider in self.weights],
                normalize_weights=self.normalize.value,
                variance=self.variance.value,
                seed=self.seed.value,
            )
        except (LatentError, AudioError) as error:
            self.status.value = f"no new sound: {error}"
            return
        self.sound = made
        self.player.value = _wav(made)
        self.picture.value = _picture(made, self.tool)
        self.status.value = f"{made.seconds:.2f} s, peak {_decibels(np.abs(made.samples).max()):.1f} dBFS"

    def _roll(self, _) -> None:
        self.seed.value = secrets.randbits(31)

    def _save(self, _) -> None:
        if self.sound is None:
            self.status.value = "nothing to save yet"
            return
        try:
            path = self.sound.save(self.name.value)
        except (AudioError, OSError) as error:
            self.status.value = f"not saved: {error}"
            return
        self.status.value = f"saved {printable(path.resolve())}"


def _short(path: Path) -> str:
    """A file's name with its folder, which often says what it is; short enough for a slider's label."""
    return printable(f"{path.parent.name}/{path.stem}")[-32:]


def _wav(made: Sound) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.clip(made.samples, -1, 1), made.sample_rate, subtype="PCM_16", format="WAV")
    return buffer.getvalue()


def _picture(made: Sound, tool: SoundSampleTool) -> bytes:
    clip = spectral.fit_length(made.samples, tool.model.audio)
    features, _ = spectral.mel(clip[None], tool.model.audio)
    return plots.sound(made, features[0], tool.model.audio)._repr_png_()


def _decibels(amplitude: float) -> float:
    return 20 * float(np.log10(max(amplitude, 1e-9)))
