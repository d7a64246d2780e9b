// The shapes of points, as pixels that are stamped into an image.

const SHAPES = [
  (x, y, r) => x * x + y * y <= r * r, // disc
  (x, y, r) => Math.max(Math.abs(x), Math.abs(y)) <= 0.85 * r, // square
  (x, y, r) => y <= 0.8 * r && 2 * Math.abs(x) - y <= r, // triangle
  (x, y, r) => Math.abs(x) + Math.abs(y) <= 1.2 * r, // diamond
  (x, y, r) => y >= -0.8 * r && 2 * Math.abs(x) + y <= r, // triangle on its tip
];

export const KINDS = SHAPES.length;

export function sprite(shape, radius, width) {
  // The pixels of a shape around the origin, as steps in an image of this width, and how much of each it covers, 0 to
  // 256, by 4 x 4 samples.
  const inside = SHAPES[shape % KINDS];
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
