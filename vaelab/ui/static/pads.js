// The pads as a widget of their own; keys play them while the focus is within.

import { PadsView } from "./pads_view.js";

export default () => ({
  initialize() {},
  render({ model, el }) {
    const view = new PadsView(model, el);
    el.tabIndex = 0;
    el.dataset.lmSuppressShortcuts = "true"; // in JupyterLab letters are commands on cells
    const key = (event) => view.key(event) && (event.preventDefault(), event.stopPropagation());
    el.addEventListener("keydown", key);
    return () => (el.removeEventListener("keydown", key), view.close());
  },
});
