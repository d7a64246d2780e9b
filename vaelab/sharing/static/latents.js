// From a place of the map to a latent, as `vaelab.library.umap_map.latent_at` goes, and to the sounds near to it.

const AROUND = 8; // sounds whose latents are averaged

// The `count` indices with the least of `value(index)`, the least first.
function least(total, count, value) {
  const all = Array.from({ length: total }, (_, index) => [value(index), index]);
  return all.sort((one, other) => one[0] - other[0]).slice(0, count).map(([, index]) => index);
}

// The mean of the latents about a place by inverse distance on the map: on a point that point's own.
function latentAt(points, latents, size, [x, y]) {
  const distance = (index) => Math.hypot(points[2 * index] - x, points[2 * index + 1] - y);
  const around = least(points.length / 2, AROUND, distance);
  const floor = 1e-6 * Math.max(1, distance(around.at(-1)));
  const shares = around.map((index) => 1 / Math.max(distance(index), floor));
  const total = shares.reduce((sum, share) => sum + share, 0);
  const z = new Float64Array(size);
  around.forEach((index, turn) => {
    for (let at = 0; at < size; at += 1) z[at] += (shares[turn] / total) * latents[index * size + at];
  });
  return z;
}

// Latents in the space in which the library compares sounds: rows (n, size) times the probe (size, width), if there is one.
function probed(latents, size, probe) {
  if (!probe) return Float32Array.from(latents);
  const width = probe.length / size;
  const points = new Float32Array((latents.length / size) * width);
  for (let row = 0; row * size < latents.length; row += 1) {
    for (let at = 0; at < size; at += 1) {
      const value = latents[row * size + at];
      for (let to = 0; to < width; to += 1) points[row * width + to] += value * probe[at * width + to];
    }
  }
  return points;
}

// The `count` nearest of points (n, as many as `point` has) to a point.
function nearTo(points, point, count) {
  return least(points.length / point.length, count, (index) => {
    let square = 0;
    for (let at = 0; at < point.length; at += 1) square += (points[index * point.length + at] - point[at]) ** 2;
    return square;
  });
}
