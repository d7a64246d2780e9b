// The map as a widget of its own.

import { MapView } from "./map_view.js";

export default () => ({
  initialize() {},
  render({ model, el }) {
    const view = new MapView(model, el);
    return () => view.close();
  },
});
