// Where things are: CSS pixels from places of the map, and back; y points up on the map.

export class Camera {
  constructor() {
    Object.assign(this, { wide: 200, high: 200, scale: 1, whole: 1, x: 0, y: 0 });
  }

  back(x, y) {
    return [(x - this.x) / this.scale, (this.y - y) / this.scale];
  }

  there(x, y) {
    return [this.x + x * this.scale, this.y - y * this.scale];
  }

  fit(all, sides) {
    // Shows the rectangle `sides`; zooming is limited by `all`, that of every point.
    const fitting = ({ left, right, low, top }) =>
      0.9 * Math.min(this.wide / Math.max(1e-9, right - left), this.high / Math.max(1e-9, top - low));
    this.whole = fitting(all);
    this.scale = fitting(sides);
    this.x = this.wide / 2 - ((sides.left + sides.right) / 2) * this.scale;
    this.y = this.high / 2 + ((sides.low + sides.top) / 2) * this.scale;
  }

  zoom(by, x = this.wide / 2, y = this.high / 2) {
    const scale = Math.max(this.whole / 4, Math.min(this.whole * 2000, this.scale * by));
    this.x = x - ((x - this.x) * scale) / this.scale;
    this.y = y - ((y - this.y) * scale) / this.scale;
    this.scale = scale;
  }

  pan(dx, dy) {
    this.x += dx;
    this.y += dy;
  }
}
