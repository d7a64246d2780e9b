// The legend of a map: a name for each group, or a scale for numbers. Names are text and nothing else.

import { element } from "./page.js";
import { sprite } from "./shapes.js";

const SIDE = 12; // CSS pixels of a symbol

export function writeLegend(parent, { names, scale }, palette) {
  // `palette` holds a colour and a shape for each group.
  parent.replaceChildren();
  if (scale) {
    element("span", "", parent, { textContent: scale.low });
    const bar = element("span", "vaelab-scale", parent);
    bar.style.background = `linear-gradient(to right, ${palette.slice(1).map(([colour]) => colour).join(", ")})`;
    element("span", "", parent, { textContent: scale.high });
    element("span", "", parent, { textContent: scale.name });
  }
  for (const [group, text] of names) {
    const entry = element("span", "vaelab-entry", parent);
    symbol(element("canvas", "", entry, { width: SIDE, height: SIDE }), ...palette[group]);
    entry.append(text);
  }
}

function symbol(canvas, colour, shape) {
  const pen = canvas.getContext("2d");
  pen.fillStyle = colour;
  const { steps, parts } = sprite(shape, 4.5, SIDE);
  const middle = (SIDE * SIDE) / 2 + SIDE / 2;
  steps.forEach((step, at) => {
    pen.globalAlpha = parts[at] / 256;
    pen.fillRect((middle + step) % SIDE, Math.floor((middle + step) / SIDE), 1, 1);
  });
}
