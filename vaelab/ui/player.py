"""The player of the widgets: one sound with its waveform and spectrogram, heard in the browser (`static/`)."""

import numpy as np
import traitlets

from vaelab import spectral
from vaelab.audio import Sound
from vaelab.config import AudioConfig
from vaelab.text import printable
from vaelab.ui import plots, scripts
from vaelab.ui.threads import SharedWidget


class Player(SharedWidget):
    """Plays one sound at a time; the browser reports nothing back but `loop`."""

    _esm = scripts.joined("player")
    _css = scripts.styles("player")
    title = traitlets.Unicode("").tag(sync=True)  # what the sound is, shown as text and nothing else
    samples = traitlets.Bytes(b"").tag(sync=True)  # float32, little-endian; in stereo all of the left, then the right
    channels = traitlets.Int(1).tag(sync=True)
    sample_rate = traitlets.Int(44100).tag(sync=True)  # Hz
    turn = traitlets.Int(0).tag(sync=True)  # counts the sounds; its change makes the browser take the new one
    # whether a new sound plays at once. Browsers play nothing before the first click on a page
    autoplay = traitlets.Bool(False).tag(sync=True)
    loop = traitlets.Bool(False).tag(sync=True)  # whether it begins again at the end
    # the spectrogram's colours, uint8 (bands, frames, 3), high pitches first; empty for none
    image = traitlets.Bytes(b"").tag(sync=True)
    frames = traitlets.Int(0).tag(sync=True)  # of the image
    bands = traitlets.Int(0).tag(sync=True)  # of the image
    floor_db = traitlets.Float(0.0).tag(sync=True)  # what is black, dB below the sound's maximum
    pitches = traitlets.List([]).tag(sync=True)  # ticks of the image: places (0 lowest, 1 highest) and names

    def hear(self, sound: Sound, title: str) -> None:
        """Take a new sound, in one message; its picture may follow by `draw`."""
        with self.hold_sync():
            self.samples = np.clip(sound.samples.T, -1, 1).astype("<f4").tobytes()
            self.channels = sound.samples.ndim
            self.sample_rate = sound.sample_rate
            self.title = printable(title)
            self.turn += 1

    def draw(self, sound: Sound, config: AudioConfig) -> None:
        """Show a sound's spectrogram, as a model with this config sees it."""
        features, _ = spectral.mel(spectral.fit_length(sound.mono, config)[None], config)
        colours = plots.painted(np.asarray(features[0]))
        with self.hold_sync():
            self.bands, self.frames = colours.shape[:2]
            self.floor_db = float(config.top_db)
            self.pitches = [[band / config.n_mels, name] for band, name in plots.pitches(config)]
            self.image = colours.tobytes()
