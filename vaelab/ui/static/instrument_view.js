// The instrument: map, sound, mix and pads, side by side where there is room.

import { handleKey } from "./instrument_keys.js";
import { MapView } from "./map_view.js";
import { MixPanel } from "./mix_panel.js";
import { isOnMark, paintMix } from "./mix_marks.js";
import { PadsView } from "./pads_view.js";
import { element, isDark, keysWithin, listen } from "./page.js";
import { addSharePanel } from "./share_panel.js";
import { SoundView } from "./sound_view.js";

const SURFACE_HELP = "click: hear · drag a point into the mix · drag ◆: weights · click beside: decode · drag: move · wheel: zoom";
const KEYS =
  "map of sounds: arrows move and play, with Shift beside the points, Enter mixes, 1 to 8 play sources, " +
  "space plays the mix, n draws anew, z undoes";

export class InstrumentView {
  constructor(engine, model, el) {
    Object.assign(this, { model, el });
    el.classList.add("vaelab-instrument");
    this.surface = element("div", "vaelab-surface", el);
    const part = (name, label) => element("section", `vaelab-part-${name}`, this.surface, { ariaLabel: label });
    this.parts = { map: part("map", "map"), sound: part("sound", "sound"), mix: part("mix", "mix"), pads: part("pads", "pads") };
    this.map = new MapView(model, this.parts.map, {
      help: SURFACE_HELP,
      grab: (x, y) => this.grab(x, y),
      paint: (pen) => this.paint(pen),
    });
    Object.assign(this.map.stage, { tabIndex: 0, role: "application", ariaLabel: KEYS });
    this.ask = (what) => this.map.ask(what);
    this.sound = new SoundView(engine, model, this.parts.sound);
    this.mix = new MixPanel(model, this.parts.mix, this.ask);
    this.pads = new PadsView(model, this.parts.pads);
    this.ghost = element("div", "vaelab-ghost", el, { hidden: true });
    this.said = element("div", "vaelab-status", el, { role: "status" });
    addSharePanel(el, this.ask);
    this.choosing = this.chooser();
    this.silent = this.listen();
    this.show();
  }

  chooser() {
    const label = element("label", "vaelab-colouring", this.map.el.querySelector(".vaelab-bar"), { textContent: "colour " });
    const select = element("select", "", label);
    select.onchange = () => this.ask({ kind: "colour", name: select.value });
    return select;
  }

  listen() {
    const { el, model } = this;
    const release = keysWithin(el, (event, target) => {
      const count = model.get("sources").length;
      return handleKey(event, target, { map: this.map, pads: this.pads, ask: this.ask, count });
    });
    const click = (event) => {
      // After a click on a button, keys are for the map again; one who tabs stays where he is.
      if (event.detail && !event.target.closest("input, select, label")) this.map.stage.focus({ preventScroll: true });
    };
    el.addEventListener("click", click);
    const redraw = () => this.map.redraw();
    const silent = listen(model, {
      "change:status": () => this.show(),
      "change:colouring": () => this.show(),
      "change:sources": redraw,
      "change:mixed": redraw,
    });
    return () => (silent(), release(), el.removeEventListener("click", click));
  }

  show() {
    this.said.textContent = this.model.get("status");
    const { names, name } = this.model.get("colouring");
    this.choosing.replaceChildren(...names.map((text) => new Option(text, text, false, text === name)));
  }

  paint(pen) {
    const mixed = this.model.get("mixed");
    paintMix(pen, this.map, this.model.get("sources"), mixed, isDark(this.el));
    this.el.dataset.mark = mixed.at ? this.map.camera.there(...mixed.at).map(Math.round) : "";
  }

  grab(x, y) {
    // What a drag moves: the mark of the mix, or a point.
    if (isOnMark(this.map, this.model.get("mixed"), x, y)) return this.marking();
    const index = this.map.nearest(x, y);
    return index < 0 ? null : this.carrying(index);
  }

  marking() {
    const blend = (x, y, live) => {
      const [east, north] = this.map.camera.back(x, y);
      this.ask({ kind: "blend", x: east, y: north, live });
    };
    let last = null;
    return {
      move: (x, y) => ((last = [x, y]), blend(x, y, true)),
      drop: () => last && blend(...last, false),
    };
  }

  carrying(index) {
    const { ghost, parts } = this;
    const within = ({ clientX: x, clientY: y }) => {
      const box = parts.mix.getBoundingClientRect();
      return x >= box.left && x <= box.right && y >= box.top && y <= box.bottom;
    };
    ghost.textContent = this.map.title(index);
    return {
      move: (x, y, event) => {
        const box = this.el.getBoundingClientRect();
        ghost.hidden = false;
        Object.assign(ghost.style, { left: `${event.clientX - box.left + 12}px`, top: `${event.clientY - box.top + 8}px` });
        parts.mix.classList.toggle("vaelab-over-mix", within(event));
      },
      drop: (x, y, event) => {
        ghost.hidden = true;
        parts.mix.classList.remove("vaelab-over-mix");
        if (event && (within(event) || isOnMark(this.map, this.model.get("mixed"), x, y))) this.ask({ kind: "add", index });
      },
    };
  }

  close() {
    this.silent();
    for (const part of [this.map, this.sound, this.mix, this.pads]) part.close();
  }
}
