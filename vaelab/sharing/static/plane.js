// The map on a canvas: points, the place that was asked for, hover, click, zoom, pan, and steps from point to point.

const REACH = 10; // CSS pixels from a point within which a click means it
const STILL = 5; // a pointer that moved less has clicked
const MARGIN = 26;
const MOST_ZOOM = 60;
// Okabe and Ito's palette without the colours that are pale on white, or dark on black; shapes multiply it.
const LIGHT = ["#0072b2", "#c77f00", "#009e73", "#d55e00", "#b8588c", "#2f87b7", "#000000"];
const DARK = ["#56b4e9", "#e69f00", "#00b583", "#f0762a", "#cc79a7", "#f0e442", "#ffffff"];

const SHAPES = [
  (pen, x, y, r) => pen.arc(x, y, r, 0, 2 * Math.PI),
  (pen, x, y, r) => pen.rect(x - 0.85 * r, y - 0.85 * r, 1.7 * r, 1.7 * r),
  (pen, x, y, r) => corners(pen, [[x, y - 1.2 * r], [x + 1.1 * r, y + 0.8 * r], [x - 1.1 * r, y + 0.8 * r]]),
  (pen, x, y, r) => corners(pen, [[x, y - 1.3 * r], [x + 1.3 * r, y], [x, y + 1.3 * r], [x - 1.3 * r, y]]),
];

function corners(pen, places) {
  places.forEach(([x, y], at) => (at ? pen.lineTo(x, y) : pen.moveTo(x, y)));
  pen.closePath();
}

function drawShape(pen, group, x, y, radius) {
  pen.beginPath();
  SHAPES[Math.floor(group / LIGHT.length) % SHAPES.length](pen, x, y, radius);
}

function inDark() {
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

function colourOf(group) {
  return (inDark() ? DARK : LIGHT)[group % LIGHT.length];
}

class Plane {
  // `points` Float32Array (2 n), `groups` (n), `filled` (n): whether the page has the sound; `calls` has `point(index)`,
  // `place(x, y)` and `hover(index, x, y)`, with -1 where there is none.
  constructor(canvas, points, groups, filled, calls) {
    Object.assign(this, { canvas, points, groups, filled, calls, count: groups.length });
    Object.assign(this, { zoomed: 1, current: -1, hovered: -1, mark: null, near: [], pointer: null });
    this.measure();
    canvas.addEventListener("pointerdown", (event) => this.down(event));
    canvas.addEventListener("pointermove", (event) => this.move(event));
    canvas.addEventListener("pointerup", (event) => this.up(event));
    canvas.addEventListener("pointercancel", () => (this.pointer = null));
    canvas.addEventListener("pointerleave", () => this.hover(-1));
    canvas.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.redraw());
  }

  measure() {
    const side = (first) => {
      const values = this.points.filter((_, at) => at % 2 === first);
      const [low, high] = [values.reduce((a, b) => Math.min(a, b)), values.reduce((a, b) => Math.max(a, b))];
      return { low, high: Math.max(high, low + 1e-6) };
    };
    this.sides = [side(0), side(1)];
  }

  resize() {
    const [wide, high, ratio] = [this.canvas.clientWidth, this.canvas.clientHeight, devicePixelRatio || 1];
    Object.assign(this, { wide, high, ratio });
    Object.assign(this.canvas, { width: Math.round(wide * ratio), height: Math.round(high * ratio) });
    this.fit();
  }

  // The map fills its picture: both directions have a scale of their own.
  fit() {
    const [across, up] = this.sides;
    this.zoomed = 1;
    this.scale = [(this.wide - 2 * MARGIN) / (across.high - across.low), (this.high - 2 * MARGIN) / (up.high - up.low)];
    this.origin = [MARGIN - across.low * this.scale[0], MARGIN + up.high * this.scale[1]];
    this.redraw();
  }

  pixel(x, y) {
    return [this.origin[0] + x * this.scale[0], this.origin[1] - y * this.scale[1]];
  }

  back(x, y) {
    return [(x - this.origin[0]) / this.scale[0], (this.origin[1] - y) / this.scale[1]];
  }

  pointAt(index) {
    return this.pixel(this.points[2 * index], this.points[2 * index + 1]);
  }

  zoom(by, x = this.wide / 2, y = this.high / 2) {
    const factor = Math.max(1, Math.min(MOST_ZOOM, this.zoomed * by)) / this.zoomed;
    if (this.zoomed * factor <= 1) return this.fit();
    this.zoomed *= factor;
    this.scale = this.scale.map((side) => side * factor);
    this.origin = [x - (x - this.origin[0]) * factor, y - (y - this.origin[1]) * factor];
    this.redraw();
  }

  wheel(event) {
    event.preventDefault();
    this.zoom(Math.exp(-event.deltaY / 400), event.offsetX, event.offsetY);
  }

  // A mouse plays when it is pressed, unless it may be about to move the map; a finger may be about to scroll the page.
  down(event) {
    if (event.button !== 0) return;
    if (event.pointerType === "mouse" && this.zoomed === 1) return this.ask(event);
    this.pointer = { x: event.offsetX, y: event.offsetY, moved: false };
    if (this.zoomed > 1) this.canvas.setPointerCapture(event.pointerId);
  }

  move(event) {
    const { pointer } = this;
    if (!pointer) return this.hover(this.nearest(event.offsetX, event.offsetY, REACH));
    const [dx, dy] = [event.offsetX - pointer.x, event.offsetY - pointer.y];
    if (!pointer.moved && Math.hypot(dx, dy) < STILL) return;
    this.pointer = { x: event.offsetX, y: event.offsetY, moved: true };
    this.hover(-1);
    if (this.zoomed > 1) this.origin = [this.origin[0] + dx, this.origin[1] + dy];
    this.redraw();
  }

  up(event) {
    const { pointer } = this;
    this.pointer = null;
    if (pointer && !pointer.moved) this.ask(event);
  }

  ask(event) {
    const index = this.nearest(event.offsetX, event.offsetY, REACH);
    if (index >= 0) this.calls.point(index);
    else this.calls.place(...this.back(event.offsetX, event.offsetY));
  }

  hover(index) {
    if (index === this.hovered) return;
    this.hovered = index;
    this.calls.hover(index, ...(index < 0 ? [0, 0] : this.pointAt(index)));
    this.redraw();
  }

  // The point nearest to a pixel within reach, -1 if there is none.
  nearest(x, y, reach) {
    let [closest, square] = [-1, reach * reach];
    for (let index = 0; index < this.count; index += 1) {
      const [px, py] = this.pointAt(index);
      const away = (px - x) ** 2 + (py - y) ** 2;
      if (away <= square) [closest, square] = [index, away];
    }
    return closest;
  }

  // The next point in a direction (1, 0), (-1, 0), (0, 1) or (0, -1) of the screen; the same where there is none.
  step(right, down) {
    if (this.current < 0) return this.nearest(this.wide / 2, this.high / 2, Infinity);
    const [x, y] = this.pointAt(this.current);
    let [next, least] = [this.current, Infinity];
    for (let index = 0; index < this.count; index += 1) {
      const [px, py] = this.pointAt(index);
      const ahead = (px - x) * right + (py - y) * down;
      const aside = Math.abs((px - x) * down) + Math.abs((py - y) * right);
      const far = ahead + 2 * aside;
      if (ahead > 0.5 && far < least) [next, least] = [index, far];
    }
    return next;
  }

  // Show a point as the current one, or a place, with the sounds near to it.
  show(index, mark, near) {
    Object.assign(this, { current: index, mark, near: [...near] });
    if (index >= 0) this.reveal(index);
    this.redraw();
  }

  reveal(index) {
    const [x, y] = this.pointAt(index);
    if (x < 0 || y < 0 || x > this.wide || y > this.high) {
      this.origin = [this.origin[0] + this.wide / 2 - x, this.origin[1] + this.high / 2 - y];
    }
  }

  redraw() {
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
  }

  draw() {
    const pen = this.canvas.getContext("2d");
    const ink = getComputedStyle(this.canvas).color;
    this.canvas.style.touchAction = this.zoomed > 1 ? "none" : "manipulation";
    pen.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    pen.clearRect(0, 0, this.wide, this.high);
    const radius = (this.count > 3000 ? 2.5 : 4.5) * Math.min(2, this.zoomed ** 0.25);
    for (let index = 0; index < this.count; index += 1) this.dot(pen, index, radius);
    this.rings(pen, ink, radius);
  }

  dot(pen, index, radius) {
    const [x, y] = this.pointAt(index);
    drawShape(pen, this.groups[index], x, y, radius);
    pen.globalAlpha = 0.85;
    if (this.filled[index]) {
      pen.fillStyle = colourOf(this.groups[index]);
      pen.fill();
    } else {
      [pen.strokeStyle, pen.lineWidth] = [colourOf(this.groups[index]), 1.5];
      pen.stroke();
    }
    pen.globalAlpha = 1;
  }

  rings(pen, ink, radius) {
    const ring = (index, width, more) => {
      pen.beginPath();
      pen.arc(...this.pointAt(index), radius + more, 0, 2 * Math.PI);
      [pen.strokeStyle, pen.lineWidth] = [ink, width];
      pen.stroke();
    };
    const from = this.mark ? this.pixel(...this.mark) : this.current >= 0 ? this.pointAt(this.current) : null;
    pen.globalAlpha = 0.45;
    for (const index of from ? this.near : []) {
      pen.beginPath();
      pen.moveTo(...from);
      pen.lineTo(...this.pointAt(index));
      [pen.strokeStyle, pen.lineWidth] = [ink, 1];
      pen.stroke();
    }
    pen.globalAlpha = 1;
    if (this.hovered >= 0) ring(this.hovered, 1.5, 3);
    if (this.current >= 0) ring(this.current, 2.5, 4);
    if (!this.mark) return;
    const [x, y] = this.pixel(...this.mark);
    pen.beginPath();
    for (const [dx, dy] of [[7, 0], [0, 7]]) pen.moveTo(x - dx, y - dy), pen.lineTo(x + dx, y + dy);
    [pen.strokeStyle, pen.lineWidth] = [ink, 2.5];
    pen.stroke();
  }
}
