// A map of sounds on a canvas: pan, zoom, hover, click on a point, click beside the points, lasso. It only shows and
// asks; what is asked goes to Python in the trait `asked`.

import { Camera } from "./camera.js";
import { Gestures } from "./gestures.js";
import { Grid } from "./grid.js";
import { writeLegend } from "./legend.js";
import { drawOverlay } from "./overlay.js";
import { element, isDark, listen, numbers, watch } from "./page.js";
import { PAPER, Stamps } from "./stamps.js";

const REACH = 8; // CSS pixels from a point within which a click means it
const WALK = 12; // CSS pixels of a step beside the points
const MOST_CORNERS = 400; // of a lasso
const HELP = "drag: move · wheel: zoom · click a point: hear it · click beside: decode that place · shift+drag: lasso";

export class MapView {
  constructor(model, el, extras = {}) {
    // `extras`, for a surface around the map: help, a text; grab(x, y), what a drag moves (`Gestures`); paint(pen),
    // what it draws over the points.
    Object.assign(this, { model, el, extras, hovered: -1, cursor: -1, lasso: [], turn: 0, camera: new Camera() });
    this.start = performance.now();
    el.classList.add("vaelab-map");
    this.build();
    this.gestures = new Gestures(this.stage, this.acts());
    this.load();
    this.resize();
    const again = () => (this.load(), this.refresh());
    this.silent = listen(model, {
      "change:points": () => (this.load(), this.fit()),
      "change:groups": again,
      "change:palette": again,
      "change:legend": () => this.name(),
      "change:regions": () => this.redraw(),
      "change:selected": () => this.redraw(),
      "change:mark": () => this.redraw(),
    });
    this.unwatch = watch(this.stage, () => this.resize(), () => this.refresh());
  }

  build() {
    const bar = element("div", "vaelab-bar", this.el);
    for (const [text, title, act] of [
      ["+", "zoom in", () => this.zoom(1.5)],
      ["−", "zoom out", () => this.zoom(1 / 1.5)],
      ["all", "show all sounds", () => this.fit(this.grid)],
    ]) {
      element("button", "", bar, { type: "button", textContent: text, title, onclick: act });
    }
    this.lassoing = element("button", "", bar, { type: "button", textContent: "lasso", title: "drag around sounds" });
    this.lassoing.onclick = () => this.lassoing.classList.toggle("vaelab-down");
    element("span", "vaelab-help", bar, { textContent: this.extras.help ?? HELP });
    this.stage = element("div", "vaelab-stage", this.el);
    this.stage.ariaLabel = "map of sounds";
    this.canvas = element("canvas", "", this.stage);
    this.over = element("canvas", "vaelab-over", this.stage);
    this.tip = element("div", "vaelab-tip", this.stage);
    this.legend = element("div", "vaelab-legend", this.el);
    this.stamps = new Stamps(this.canvas);
  }

  acts() {
    return {
      hover: (x, y) => this.hover(x === undefined ? -1 : this.nearest(x, y)),
      click: (x, y) => this.click(x, y),
      pan: (dx, dy) => (this.camera.pan(dx, dy), this.redraw()),
      zoom: (by, x, y) => this.zoom(by, x, y),
      lassoing: (event) => event.shiftKey || this.lassoing.classList.contains("vaelab-down"),
      grab: (x, y) => this.extras.grab?.(x, y),
      lasso: (places, done) => this.around(places, done),
    };
  }

  close() {
    this.silent();
    this.unwatch();
    cancelAnimationFrame(this.frame);
  }

  load() {
    const points = numbers(this.model.get("points"), Float32Array);
    const old = this.grid?.points;
    if (points.length !== old?.length || points.some((value, at) => value !== old[at])) this.grid = new Grid(points);
    this.groups = numbers(this.model.get("groups"), Uint8Array);
    this.letters = numbers(this.model.get("names"), Uint8Array);
    this.ends = numbers(this.model.get("name_ends"), Uint32Array);
  }

  title(at) {
    return new TextDecoder().decode(this.letters.subarray(at ? this.ends[at - 1] : 0, this.ends[at]));
  }

  ask(what) {
    this.turn += 1;
    this.model.set("asked", { ...what, turn: `${this.start}:${this.turn}` });
    this.model.save_changes();
  }

  there(at) {
    return this.camera.there(this.grid.points[2 * at], this.grid.points[2 * at + 1]);
  }

  nearest(x, y) {
    return this.grid.nearest(...this.camera.back(x, y), REACH / this.camera.scale);
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const [wide, high] = [Math.max(200, this.stage.clientWidth), Math.max(200, this.stage.clientHeight)];
    const { camera } = this;
    if (this.ratio === ratio && camera.wide === wide && camera.high === high) return;
    const first = this.ratio === undefined;
    this.ratio = ratio;
    Object.assign(camera, { wide, high });
    this.stamps.resize(wide, high, ratio);
    for (const canvas of [this.canvas, this.over]) {
      Object.assign(canvas, { width: Math.round(wide * ratio), height: Math.round(high * ratio) });
      Object.assign(canvas.style, { width: `${wide}px`, height: `${high}px` });
    }
    this.fit();
    if (first) this.name();
  }

  fit(sides = this.grid.middle()) {
    this.camera.fit(this.grid, sides);
    this.redraw();
  }

  zoom(by, x, y) {
    this.camera.zoom(by, x, y);
    this.redraw();
  }

  click(x, y) {
    const index = (this.cursor = this.nearest(x, y));
    const [east, north] = this.camera.back(x, y);
    this.walked = index < 0 ? [east, north] : null;
    this.ask(index < 0 ? { kind: "decode", x: east, y: north } : { kind: "play", index });
  }

  step(dx, dy) {
    // Moves the cursor to the next point in a direction, as seen on the screen; gives that point, or -1.
    const from = this.cursor < 0 ? this.camera.back(this.camera.wide / 2, this.camera.high / 2) : null;
    const next = from ? this.grid.nearest(...from, Infinity) : this.grid.next(this.cursor, dx, -dy);
    if (next < 0) return -1;
    this.cursor = next;
    this.walked = null;
    this.bringIn(...this.there(next));
    return next;
  }

  beside(dx, dy) {
    // Moves a place by some pixels in a direction, from the last such place, else from the cursor; gives where it is.
    const { camera } = this;
    const { wide, high } = camera;
    const last = this.walked ? camera.there(...this.walked) : this.cursor < 0 ? [wide / 2, high / 2] : this.there(this.cursor);
    const [x, y] = [last[0] + WALK * dx, last[1] + WALK * dy];
    this.walked = camera.back(x, y);
    this.bringIn(x, y);
    return this.walked;
  }

  bringIn(x, y) {
    const { wide, high } = this.camera;
    if (x < 0 || y < 0 || x > wide || y > high) this.camera.pan(wide / 2 - x, high / 2 - y);
    this.redraw();
  }

  around(places, done) {
    this.lasso = done ? [] : places.map(([x, y]) => this.camera.back(x, y));
    if (done) {
      const step = Math.ceil(places.length / MOST_CORNERS);
      const corners = places.filter((_, at) => at % step === 0).map(([x, y]) => this.camera.back(x, y));
      this.ask({ kind: "lasso", corners });
      this.lassoing.classList.remove("vaelab-down");
    }
    this.overlay();
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.tip.style.display = index < 0 ? "none" : "block";
    if (index >= 0) {
      const [x, y] = this.there(index);
      const { wide, high } = this.camera;
      this.tip.textContent = this.title(index);
      Object.assign(this.tip.style, { left: `${Math.min(x + 12, wide - 160)}px`, top: `${y > high - 40 ? y - 32 : y + 12}px` });
    }
    this.overlay();
  }

  refresh() {
    this.stamps.forget();
    this.name();
    this.redraw();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const begin = performance.now();
    this.stamps.draw(this.grid.points, this.groups, this.model.get("palette"), this.camera, isDark(this.el));
    this.overlay();
    const { dataset } = this.el;
    dataset.drawMs = performance.now() - begin;
    dataset.draws = Number(dataset.draws ?? 0) + 1;
    dataset.firstMs ??= performance.now() - this.start;
  }

  overlay() {
    drawOverlay(this.over.getContext("2d"), {
      ratio: this.ratio,
      ink: getComputedStyle(this.el).color,
      paper: isDark(this.el) ? PAPER.dark : PAPER.light,
      camera: this.camera,
      there: (at) => this.there(at),
      regions: this.model.get("regions"),
      selected: numbers(this.model.get("selected"), Uint32Array),
      mark: this.model.get("mark"),
      hovered: this.hovered,
      cursor: this.cursor,
      lasso: this.lasso,
    });
    this.extras.paint?.(this.over.getContext("2d"));
  }

  name() {
    const dark = isDark(this.el);
    const palette = this.model.get("palette").map(([onLight, onDark, shape]) => [dark ? onDark : onLight, shape]);
    writeLegend(this.legend, this.model.get("legend"), palette);
  }
}
