// The pads as a widget of their own; keys play them while the focus is within.

import { PadsView } from "./pads_view.js";
import { keysWithin } from "./page.js";

export default () => ({
  initialize() {},
  render({ model, el }) {
    const view = new PadsView(model, el);
    el.tabIndex = 0;
    const release = keysWithin(el, (event) => view.key(event));
    return () => (release(), view.close());
  },
});
