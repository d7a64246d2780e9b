// The player as a widget of its own: waveform and spectrogram of one sound, and its engine.

import { SoundView } from "./sound_view.js";
import { sounding } from "./sounding.js";

export default sounding(SoundView);
