// The player as a widget of its own: waveform and spectrogram of one sound, and its engine.

import { Engine } from "./engine.js";
import { SoundView } from "./sound_view.js";

export default () => {
  let engine;
  return {
    initialize({ model }) {
      engine = new Engine(model);
      return () => engine.close();
    },
    render({ model, el }) {
      const view = new SoundView(engine, model, el);
      return () => view.close();
    },
  };
};
