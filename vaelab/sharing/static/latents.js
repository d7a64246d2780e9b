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

function nearLatents(latents, z, count) {
  return least(latents.length / z.length, count, (index) => {
    let square = 0;
    for (let at = 0; at < z.length; at += 1) square += (latents[index * z.length + at] - z[at]) ** 2;
    return square;
  });
}
