// The mix: its sounds with their weights. It shows what Python tells, and asks for changes.

import { element, listen } from "./page.js";

const EMPTY = "Drag points of the map here, or press Enter on one: they are mixed.";

function grip(slider, ask, write = () => {}) {
  // A slider asks while it is dragged and when it is let go; gives a function that sets it. What Python tells must not
  // move a slider in somebody's hand.
  let held = false;
  const move = (live) => ((held = live), write(slider.value), ask(Number(slider.value), live));
  slider.oninput = () => move(true);
  slider.onchange = () => move(false);
  return (value) => {
    if (held) return;
    slider.value = value;
    write(value);
  };
}

export class MixPanel {
  constructor(model, el, ask) {
    // `ask(what)`: what is asked of Python, see `vaelab.ui.instrument`.
    Object.assign(this, { model, el, ask, rows: [] });
    el.classList.add("vaelab-mix");
    const bar = element("div", "vaelab-bar", el);
    for (const [text, title, kind] of [
      ["▶ mix", "play the mix (space)", "mix"],
      ["undo", "one step back (z)", "undo"],
      ["save", "write the newest sound with its recipe", "save"],
    ]) {
      element("button", "", bar, { type: "button", textContent: text, title, onclick: () => ask({ kind }) });
    }
    this.variance = this.chance(bar);
    this.list = element("div", "vaelab-sources", el, { role: "list", ariaLabel: "sounds of the mix" });
    this.silent = listen(model, { "change:sources": () => this.show(), "change:variance": () => this.show() });
    this.show();
  }

  chance(bar) {
    const label = element("label", "vaelab-chance", bar, { textContent: "variance", title: "of noise added to the mix" });
    const slider = element("input", "", label, { type: "range", min: 0, max: 2, step: 0.05 });
    const title = "another sound of this variance (n)";
    element("button", "", bar, { type: "button", textContent: "new draw", title, onclick: () => this.ask({ kind: "roll" }) });
    return grip(slider, (variance, live) => this.ask({ kind: "vary", variance, live }));
  }

  show() {
    this.variance(this.model.get("variance"));
    const sources = this.model.get("sources");
    const same = sources.length === this.rows.length && sources.every(({ index }, at) => index === this.rows[at].index);
    if (!same || !sources.length) this.build(sources);
    sources.forEach(({ weight }, at) => this.rows[at].set(weight));
  }

  build(sources) {
    this.list.replaceChildren();
    if (!sources.length) element("p", "vaelab-empty", this.list, { textContent: EMPTY });
    this.rows = sources.map((source, number) => this.row(source, number));
  }

  row({ index, title }, number) {
    const row = element("div", "vaelab-source", this.list, { role: "listitem" });
    const name = element("button", "vaelab-number", row, { type: "button", textContent: number + 1 });
    name.title = name.ariaLabel = `play source ${number + 1}: ${title}`;
    name.onclick = () => this.ask({ kind: "source", number });
    element("span", "vaelab-name", row, { textContent: title, title });
    const slider = element("input", "", row, { type: "range", min: -2, max: 2, step: 0.05 });
    slider.ariaLabel = `weight of ${title}`;
    const shown = element("output", "", row);
    const remove = element("button", "", row, { type: "button", textContent: "×", title: `take ${title} away` });
    remove.ariaLabel = remove.title;
    remove.onclick = () => this.ask({ kind: "remove", number });
    const write = (weight) => (shown.textContent = Number(weight).toFixed(2).replace("-", "−"));
    return { index, set: grip(slider, (weight, live) => this.ask({ kind: "weigh", number, weight, live }), write) };
  }

  close() {
    this.silent();
  }
}
