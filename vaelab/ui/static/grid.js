// Points by place: which one is nearest, and where most of them lie.

const FAR = 0.02; // of the sounds, on each side: a few that lie far out do not squeeze the first view
const SAMPLE = 10000; // points, evenly spaced, are enough to tell where most lie

export class Grid {
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
    const count = this.points.length / 2;
    const step = Math.ceil(count / SAMPLE) || 1;
    const side = (first) => {
      const chosen = Float32Array.from({ length: Math.ceil(count / step) }, (_, at) => this.points[2 * at * step + first]);
      const sorted = chosen.sort();
      const far = Math.floor(FAR * sorted.length);
      return [sorted[far] ?? 0, sorted[sorted.length - 1 - far] ?? 1];
    };
    const [[left, right], [low, top]] = [side(0), side(1)];
    return { left, right, low, top };
  }

  next(from, dx, dy) {
    // The point to go to from another in a direction (a unit vector), -1 if none lies within 45 degrees of it; what
    // lies straight ahead is preferred.
    const [x, y] = [this.points[2 * from], this.points[2 * from + 1]];
    let [found, least] = [-1, Infinity];
    for (let at = 0; at < this.points.length / 2; at += 1) {
      const [east, north] = [this.points[2 * at] - x, this.points[2 * at + 1] - y];
      const along = east * dx + north * dy;
      const across = Math.abs(east * dy - north * dx);
      if (along <= 0 || across > along || along + across >= least) continue;
      [found, least] = [at, along + across];
    }
    return found;
  }

  nearest(x, y, reach) {
    // The point nearest to a place within reach, -1 if there is none.
    if (reach === Infinity) reach = Math.hypot(this.right - this.left, this.top - this.low) + this.side;
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
