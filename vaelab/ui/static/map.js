// A map of sounds on a canvas: pan, zoom, hover, click on a point, click beside the points, lasso. It only shows and
// asks; what is asked goes to Python in the trait `asked`. Points are stamped into an image, pixel by pixel, which
// even without a graphics card takes a tenth of what the canvas needs for as many shapes.

const HEIGHT = 480; // CSS pixels
const REACH = 8; // how far from a point a click still means it
const STILL = 4; // a pointer that moved less has clicked
const MOST_CORNERS = 400; // of a lasso
const FAR = 0.02; // of the sounds, on each side: a few that lie far out do not squeeze the first view
const HELP = "drag: move · wheel: zoom · click a point: hear it · click beside: decode that place · shift+drag: lasso";

function element(kind, classes, parent, properties = {}) {
  const made = Object.assign(document.createElement(kind), { className: classes, ...properties });
  parent.append(made);
  return made;
}

function numbers(value, Kind) {
  // Buffers come as DataView, or as Uint8Array in Colab; a copy is aligned.
  if (!value?.byteLength) return new Kind(0);
  return new Kind(value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength));
}

function isDark(el) {
  // By the ink that the page itself writes with there; outside a page there is none yet.
  const ink = getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0];
  return Number(ink[0]) + Number(ink[1]) + Number(ink[2]) > 380;
}

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

const SHAPES = [
  (x, y, r) => x * x + y * y <= r * r, // disc
  (x, y, r) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85 * r, // square
  (x, y, r) => y <= 0.8 * r && 2 * Math.abs(x) - y <= r, // triangle
  (x, y, r) => Math.abs(x) + Math.abs(y) <= 1.2 * r, // diamond
  (x, y, r) => y >= -0.8 * r && 2 * Math.abs(x) + y <= r, // triangle on its tip
];

function sprite(shape, radius, width) {
  // The pixels of a shape around the origin, as steps in an image of this width, and how much of each it covers, 0 to
  // 256, by 4 x 4 samples.
  const inside = SHAPES[shape % SHAPES.length];
  const most = Math.ceil(1.2 * radius);
  const [steps, parts] = [[], []];
  for (let dy = -most; dy <= most; dy += 1) {
    for (let dx = -most; dx <= most; dx += 1) {
      let hits = 0;
      for (let at = 0; at < 16; at += 1) {
        hits += inside(dx + ((at % 4) - 1.5) / 4, dy + ((at >> 2) - 1.5) / 4, radius);
      }
      if (!hits) continue;
      steps.push(dy * width + dx);
      parts.push(hits * 16);
    }
  }
  return { most, steps: Int32Array.from(steps), parts: Int32Array.from(parts) };
}

class Grid {
  // Points sorted by the cells they lie in, about two to a cell, so that a search looks at few of them.
  constructor(points) {
    this.points = points;
    const count = points.length / 2;
    let [left, right, low, top] = [Infinity, -Infinity, Infinity, -Infinity];
    for (let at = 0; at < count; at += 1) {
      left = Math.min(left, points[2 * at]);
      right = Math.max(right, points[2 * at]);
      low = Math.min(low, points[2 * at + 1]);
      top = Math.max(top, points[2 * at + 1]);
    }
    if (!count) [left, right, low, top] = [0, 1, 0, 1];
    Object.assign(this, { left, right, low, top });
    this.side = Math.max(1e-9, Math.sqrt((Math.max(1e-9, right - left) * Math.max(1e-9, top - low) * 2) / (count || 1)));
    this.side = Math.max(this.side, (right - left) / 2048, (top - low) / 2048);
    this.columns = Math.floor((right - left) / this.side) + 1;
    this.rows = Math.floor((top - low) / this.side) + 1;
    this.begin = new Uint32Array(this.columns * this.rows + 1);
    for (let at = 0; at < count; at += 1) this.begin[this.cell(at) + 1] += 1;
    for (let cell = 1; cell < this.begin.length; cell += 1) this.begin[cell] += this.begin[cell - 1];
    const next = this.begin.slice();
    this.order = new Uint32Array(count);
    for (let at = 0; at < count; at += 1) this.order[next[this.cell(at)]++] = at;
  }

  cell(at) {
    const column = Math.floor((this.points[2 * at] - this.left) / this.side);
    const row = Math.floor((this.points[2 * at + 1] - this.low) / this.side);
    return Math.min(row, this.rows - 1) * this.columns + Math.min(column, this.columns - 1);
  }

  middle() {
    // Where the sounds lie, less the few far out.
    const side = (first) => {
      const sorted = this.points.filter((_, at) => at % 2 === first).sort();
      const far = Math.floor(FAR * sorted.length);
      return [sorted[far] ?? 0, sorted[sorted.length - 1 - far] ?? 1];
    };
    const [[left, right], [low, top]] = [side(0), side(1)];
    return { left, right, low, top };
  }

  nearest(x, y, reach) {
    // The point nearest to a place within reach, -1 if there is none.
    const first = (value, least) => Math.max(0, Math.floor((value - reach - least) / this.side));
    const last = (value, least, most) => Math.min(most - 1, Math.floor((value + reach - least) / this.side));
    let [found, square] = [-1, reach * reach];
    for (let row = first(y, this.low); row <= last(y, this.low, this.rows); row += 1) {
      for (let column = first(x, this.left); column <= last(x, this.left, this.columns); column += 1) {
        const cell = row * this.columns + column;
        for (let at = this.begin[cell]; at < this.begin[cell + 1]; at += 1) {
          const point = this.order[at];
          const away = (this.points[2 * point] - x) ** 2 + (this.points[2 * point + 1] - y) ** 2;
          if (away <= square) [found, square] = [point, away];
        }
      }
    }
    return found;
  }
}

class MapView {
  constructor(model, el) {
    Object.assign(this, { model, el, scale: 1, x: 0, y: 0, hovered: -1, lasso: null, pointer: null, turn: 0 });
    this.start = performance.now();
    el.classList.add("vaelab-map");
    const bar = element("div", "vaelab-bar", el);
    for (const [text, title, act] of [
      ["+", "zoom in", () => this.zoom(1.5)],
      ["−", "zoom out", () => this.zoom(1 / 1.5)],
      ["all", "show all sounds", () => this.fit(this.grid)],
    ]) {
      element("button", "", bar, { type: "button", textContent: text, title, onclick: act });
    }
    this.lassoing = element("button", "", bar, { type: "button", textContent: "lasso", title: "drag around sounds" });
    this.lassoing.onclick = () => this.lassoing.classList.toggle("vaelab-down");
    element("span", "vaelab-help", bar, { textContent: HELP });
    const stage = (this.stage = element("div", "vaelab-stage", el));
    this.canvas = element("canvas", "", stage);
    this.over = element("canvas", "vaelab-over", stage);
    this.tip = element("div", "vaelab-tip", stage);
    this.legend = element("div", "vaelab-legend", el);
    this.listen();
    this.load();
    this.resize();
  }

  listen() {
    const { stage, model } = this;
    this.on = [
      ["change:points", () => (this.load(), this.fit())],
      ["change:groups", () => (this.load(), this.refresh())],
      ["change:palette", () => (this.load(), this.refresh())],
      ["change:legend", () => this.name()],
      ["change:selected", () => this.redraw()],
      ["change:mark", () => this.redraw()],
    ];
    for (const [name, call] of this.on) model.on(name, call);
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", () => (this.pointer = this.lasso = null));
    stage.addEventListener("pointerleave", () => this.hover(null));
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    this.size = new ResizeObserver(() => this.resize());
    this.size.observe(stage);
    this.theme = new MutationObserver(() => this.refresh());
    this.theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "class"] });
  }

  close() {
    for (const [name, call] of this.on) this.model.off(name, call);
    this.size.disconnect();
    this.theme.disconnect();
    cancelAnimationFrame(this.frame);
  }

  load() {
    const points = numbers(this.model.get("points"), Float32Array);
    if (!this.grid || points.length !== this.grid.points.length || points.some((value, at) => value !== this.grid.points[at])) {
      this.grid = new Grid(points);
    }
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

  // Where things are: CSS pixels from places of the map, and back; y points up on the map.

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    return this.back(event.clientX - box.left, event.clientY - box.top);
  }

  back(x, y) {
    return [(x - this.x) / this.scale, (this.y - y) / this.scale];
  }

  there(x, y) {
    return [this.x + x * this.scale, this.y - y * this.scale];
  }

  resize() {
    const ratio = devicePixelRatio || 1;
    const wide = Math.max(200, this.stage.clientWidth);
    if (this.wide === wide && this.ratio === ratio) return;
    const first = this.wide === undefined;
    Object.assign(this, { wide, ratio });
    for (const canvas of [this.canvas, this.over]) {
      Object.assign(canvas, { width: Math.round(wide * ratio), height: HEIGHT * ratio });
      Object.assign(canvas.style, { width: `${wide}px`, height: `${HEIGHT}px` });
    }
    this.image = new ImageData(this.canvas.width, this.canvas.height);
    this.fit();
    if (first) this.name();
  }

  fit(sides = this.grid.middle()) {
    const fitting = ({ left, right, low, top }) =>
      0.9 * Math.min(this.wide / Math.max(1e-9, right - left), HEIGHT / Math.max(1e-9, top - low));
    this.whole = fitting(this.grid);
    this.scale = fitting(sides);
    this.x = this.wide / 2 - ((sides.left + sides.right) / 2) * this.scale;
    this.y = HEIGHT / 2 + ((sides.low + sides.top) / 2) * this.scale;
    this.redraw();
  }

  zoom(by, x = this.wide / 2, y = HEIGHT / 2) {
    const scale = Math.max(this.whole / 4, Math.min(this.whole * 2000, this.scale * by));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    const box = this.canvas.getBoundingClientRect();
    this.zoom(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }

  down(event) {
    if (event.button !== 0) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointer = { x: event.clientX, y: event.clientY, lastX: event.clientX, lastY: event.clientY, moved: false };
    if (event.shiftKey || this.lassoing.classList.contains("vaelab-down")) this.lasso = [this.place(event)];
  }

  move(event) {
    const { pointer } = this;
    if (!pointer) return this.hover(event);
    pointer.moved ||= Math.hypot(event.clientX - pointer.x, event.clientY - pointer.y) >= STILL;
    if (!pointer.moved) return;
    this.hover(null);
    if (this.lasso) {
      this.lasso.push(this.place(event));
      return this.overlay();
    }
    this.x += event.clientX - pointer.lastX;
    this.y += event.clientY - pointer.lastY;
    Object.assign(pointer, { lastX: event.clientX, lastY: event.clientY });
    this.redraw();
  }

  up(event) {
    const { pointer, lasso } = this;
    this.pointer = this.lasso = null;
    if (!pointer) return;
    if (lasso && pointer.moved) {
      const step = Math.ceil(lasso.length / MOST_CORNERS);
      this.ask({ kind: "lasso", corners: lasso.filter((_, at) => at % step === 0) });
      this.lassoing.classList.remove("vaelab-down");
    } else if (!pointer.moved) {
      const [x, y] = this.place(event);
      const index = this.grid.nearest(x, y, REACH / this.scale);
      this.ask(index < 0 ? { kind: "decode", x, y } : { kind: "play", index });
    }
    this.overlay();
  }

  hover(event) {
    const found = event ? this.grid.nearest(...this.place(event), REACH / this.scale) : -1;
    if (found === this.hovered) return;
    this.hovered = found;
    this.tip.style.display = found < 0 ? "none" : "block";
    if (found >= 0) {
      const [x, y] = this.there(this.grid.points[2 * found], this.grid.points[2 * found + 1]);
      this.tip.textContent = this.title(found);
      Object.assign(this.tip.style, { left: `${Math.min(x + 12, this.wide - 160)}px`, top: `${y > HEIGHT - 40 ? y - 32 : y + 12}px` });
    }
    this.overlay();
  }

  refresh() {
    this.sprites = null;
    this.name();
    this.redraw();
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const begin = performance.now();
    this.stamp();
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
    this.overlay();
    const { dataset } = this.el;
    dataset.drawMs = performance.now() - begin;
    dataset.draws = Number(dataset.draws ?? 0) + 1;
    dataset.firstMs ??= performance.now() - this.start;
  }

  get dark() {
    return isDark(this.el);
  }

  look() {
    // A sprite and a colour for each group; points grow a little as one comes nearer.
    const count = this.grid.points.length / 2;
    const base = count > 20000 ? 1.6 : count > 3000 ? 2.6 : 4;
    const near = Math.max(1, Math.min(3, (this.scale / this.whole) ** 0.25));
    const radius = Math.round(4 * base * near * this.ratio) / 4;
    const { width } = this.image;
    if (this.sprites?.radius === radius && this.sprites.width === width) return this.sprites;
    const { dark } = this;
    const made = SHAPES.map((_, shape) => sprite(shape, radius, width));
    const all = this.model.get("palette").map(([onLight, onDark, shape]) => {
      const [red, green, blue] = rgb(dark ? onDark : onLight);
      const solid = 0xff000000 | (blue << 16) | (green << 8) | red;
      return { red, green, blue, solid, ...made[shape % made.length] };
    });
    return (this.sprites = Object.assign(all, { radius, width }));
  }

  stamp() {
    const { data, width, height } = this.image;
    const pixels = new Uint32Array(data.buffer);
    pixels.fill(this.dark ? 0xff161616 : 0xffffffff);
    const looks = this.look();
    const [points, count] = [this.grid.points, this.grid.points.length / 2];
    const [scale, left, top] = [this.scale * this.ratio, this.x * this.ratio, this.y * this.ratio];
    for (let at = 0; at < count; at += 1) {
      const x = Math.round(left + points[2 * at] * scale);
      const y = Math.round(top - points[2 * at + 1] * scale);
      const { most, steps, parts, red, green, blue, solid } = looks[this.groups[at]] ?? looks[0];
      if (x < most || y < most || x >= width - most || y >= height - most) continue;
      const middle = y * width + x;
      for (let step = 0; step < steps.length; step += 1) {
        const pixel = middle + steps[step];
        const part = parts[step];
        if (part === 256) {
          pixels[pixel] = solid;
          continue;
        }
        const to = 4 * pixel;
        data[to] += ((red - data[to]) * part) >> 8;
        data[to + 1] += ((green - data[to + 1]) * part) >> 8;
        data[to + 2] += ((blue - data[to + 2]) * part) >> 8;
      }
    }
  }

  overlay() {
    const pen = this.over.getContext("2d");
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.wide, HEIGHT);
    const ink = getComputedStyle(this.el).color;
    Object.assign(pen, { font: "11px sans-serif", fillStyle: ink, strokeStyle: ink, lineWidth: 1.5 });
    pen.fillText("UMAP 1 (no unit) →", 8, HEIGHT - 8);
    pen.save();
    pen.rotate(-Math.PI / 2);
    pen.fillText("UMAP 2 (no unit) →", 24 - HEIGHT, 14);
    pen.restore();
    const ring = (at, radius) => {
      const [x, y] = this.there(this.grid.points[2 * at], this.grid.points[2 * at + 1]);
      pen.beginPath();
      pen.arc(x, y, radius, 0, 2 * Math.PI);
      pen.stroke();
    };
    const selected = numbers(this.model.get("selected"), Uint32Array);
    selected.subarray(0, 5000).forEach((at) => ring(at, 6));
    this.cross(pen, ring);
    if (this.hovered >= 0) ring(this.hovered, 8);
    if (this.lasso) {
      pen.beginPath();
      for (const corner of this.lasso) pen.lineTo(...this.there(...corner));
      pen.stroke();
    }
  }

  cross(pen, ring) {
    // The place that was decoded, tied to the sounds it was mixed from.
    const mark = this.model.get("mark");
    if (!mark.at) return;
    const [x, y] = this.there(...mark.at);
    pen.beginPath();
    for (const [dx, dy] of [[6, 6], [6, -6]]) {
      pen.moveTo(x - dx, y - dy);
      pen.lineTo(x + dx, y + dy);
    }
    pen.stroke();
    pen.globalAlpha = 0.5;
    for (const at of mark.near) {
      pen.beginPath();
      pen.moveTo(x, y);
      pen.lineTo(...this.there(this.grid.points[2 * at], this.grid.points[2 * at + 1]));
      pen.stroke();
      ring(at, 6);
    }
    pen.globalAlpha = 1;
  }

  name() {
    // The legend: a name for each group, or a scale for numbers. Names are text and nothing else.
    const { names, scale } = this.model.get("legend");
    const palette = this.model.get("palette").map(([light, dark, shape]) => [this.dark ? dark : light, shape]);
    this.legend.replaceChildren();
    if (scale) {
      element("span", "", this.legend, { textContent: scale.low });
      const bar = element("span", "vaelab-scale", this.legend);
      bar.style.background = `linear-gradient(to right, ${palette.slice(1).map(([colour]) => colour).join(", ")})`;
      element("span", "", this.legend, { textContent: scale.high });
      element("span", "", this.legend, { textContent: scale.name });
    }
    for (const [group, text] of names) {
      const entry = element("span", "vaelab-entry", this.legend);
      const dot = element("canvas", "", entry, { width: 12, height: 12 });
      const pen = dot.getContext("2d");
      pen.fillStyle = palette[group][0];
      const { steps, parts } = sprite(palette[group][1], 4.5, 12);
      steps.forEach((step, at) => {
        pen.globalAlpha = parts[at] / 256;
        pen.fillRect((78 + step) % 12, Math.floor((78 + step) / 12), 1, 1); // 78 is (6, 6), the middle
      });
      entry.append(text);
    }
  }
}

export default () => ({
  initialize() {},
  render({ model, el }) {
    const view = new MapView(model, el);
    return () => view.close();
  },
});
