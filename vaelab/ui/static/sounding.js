// Widgets that play: an engine for each model, which all of its views share.

import { Engine } from "./engine.js";

export const sounding = (View) => () => {
  let engine;
  return {
    initialize({ model }) {
      engine = new Engine(model);
      return () => engine.close();
    },
    render({ model, el }) {
      const view = new View(engine, model, el);
      return () => view.close();
    },
  };
};
