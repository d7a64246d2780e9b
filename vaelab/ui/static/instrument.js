// The instrument as a widget.

import { Engine } from "./engine.js";
import { InstrumentView } from "./instrument_view.js";

export default () => {
  let engine;
  return {
    initialize({ model }) {
      engine = new Engine(model);
      return () => engine.close();
    },
    render({ model, el }) {
      const view = new InstrumentView(engine, model, el);
      return () => view.close();
    },
  };
};
