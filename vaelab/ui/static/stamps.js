// Points stamped into an image, pixel by pixel, which even without a graphics card takes a tenth of what the canvas
// needs for as many shapes.

import { KINDS, sprite } from "./shapes.js";

export const PAPER = { light: "#ffffff", dark: "#161616" };

function rgb(colour) {
  return [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
}

function packed(colour) {
  const [red, green, blue] = rgb(colour);
  return 0xff000000 | (blue << 16) | (green << 8) | red;
}

export class Stamps {
  constructor(canvas) {
    this.canvas = canvas;
  }

  resize(wide, high, ratio) {
    this.ratio = ratio;
    this.image = new ImageData(Math.round(wide * ratio), Math.round(high * ratio));
  }

  forget() {
    this.looks = null;
  }

  prepare(palette, count, camera, dark) {
    // A sprite and a colour for each group; points grow a little as one comes nearer.
    const base = count > 20000 ? 1.6 : count > 3000 ? 2.6 : 4;
    const near = Math.max(1, Math.min(3, (camera.scale / camera.whole) ** 0.25));
    const radius = Math.round(4 * base * near * this.ratio) / 4;
    const { width } = this.image;
    if (this.looks?.radius === radius && this.looks.width === width) return this.looks;
    const made = Array.from({ length: KINDS }, (_, shape) => sprite(shape, radius, width));
    const all = palette.map(([onLight, onDark, shape]) => {
      const colour = dark ? onDark : onLight;
      const [red, green, blue] = rgb(colour);
      return { red, green, blue, solid: packed(colour), ...made[shape % made.length] };
    });
    return (this.looks = Object.assign(all, { radius, width }));
  }

  draw(points, groups, palette, camera, dark) {
    const { data, width, height } = this.image;
    const pixels = new Uint32Array(data.buffer);
    pixels.fill(packed(dark ? PAPER.dark : PAPER.light));
    const count = points.length / 2;
    const looks = this.prepare(palette, count, camera, dark);
    const [scale, left, top] = [camera.scale, camera.x, camera.y].map((value) => value * this.ratio);
    for (let at = 0; at < count; at += 1) {
      const x = Math.round(left + points[2 * at] * scale);
      const y = Math.round(top - points[2 * at + 1] * scale);
      const { most, steps, parts, red, green, blue, solid } = looks[groups[at]] ?? looks[0];
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
    this.canvas.getContext("2d").putImageData(this.image, 0, 0);
  }
}
