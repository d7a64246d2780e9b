// What lies over the points of a map: names of axes and regions, rings, the place decoded last, the lasso.

const MOST_RINGS = 5000;
const LETTERS = 14; // CSS pixels: the height of a region's name

export function drawOverlay(pen, shown) {
  const { ratio, ink, paper, camera, there, regions, selected, mark, hovered, cursor, lasso } = shown;
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.clearRect(0, 0, camera.wide, camera.high);
  Object.assign(pen, { font: "11px sans-serif", fillStyle: ink, strokeStyle: ink, lineWidth: 1.5 });
  pen.fillText("UMAP 1 (no unit) →", 8, camera.high - 8);
  pen.save();
  pen.rotate(-Math.PI / 2);
  pen.fillText("UMAP 2 (no unit) →", 24 - camera.high, 14);
  pen.restore();
  writeRegions(pen, regions, camera, paper);
  selected.subarray(0, MOST_RINGS).forEach((at) => ring(pen, there(at), 6));
  if (mark.at) cross(pen, camera.there(...mark.at), mark.near.map(there));
  if (hovered >= 0) ring(pen, there(hovered), 8);
  if (cursor >= 0) {
    pen.lineWidth = 3;
    ring(pen, there(cursor), 10);
    pen.lineWidth = 1.5;
  }
  pen.beginPath();
  for (const corner of lasso) pen.lineTo(...camera.there(...corner));
  pen.stroke();
}

function writeRegions(pen, regions, camera, paper) {
  // The clearest first; a name that would lie on another, or beyond the edge, is left out.
  pen.save();
  Object.assign(pen, { font: "bold 12px sans-serif", textAlign: "center", textBaseline: "middle", lineJoin: "round" });
  Object.assign(pen, { strokeStyle: paper, lineWidth: 4 });
  const boxes = [];
  for (const [name, east, north] of regions) {
    const [x, y] = camera.there(east, north);
    const half = pen.measureText(name).width / 2 + 2;
    const box = [x - half, x + half, y - LETTERS / 2, y + LETTERS / 2];
    const out = box[0] < 0 || box[1] > camera.wide || box[2] < 0 || box[3] > camera.high;
    const meets = ([left, right, top, low]) => box[0] < right && left < box[1] && box[2] < low && top < box[3];
    if (out || boxes.some(meets)) continue;
    boxes.push(box);
    pen.strokeText(name, x, y);
    pen.fillText(name, x, y);
  }
  pen.restore();
}

function ring(pen, [x, y], radius) {
  pen.beginPath();
  pen.arc(x, y, radius, 0, 2 * Math.PI);
  pen.stroke();
}

function cross(pen, [x, y], near) {
  // The place that was decoded, tied to the sounds it was mixed from.
  pen.beginPath();
  for (const [dx, dy] of [[6, 6], [6, -6]]) {
    pen.moveTo(x - dx, y - dy);
    pen.lineTo(x + dx, y + dy);
  }
  pen.stroke();
  pen.globalAlpha = 0.5;
  for (const place of near) {
    pen.beginPath();
    pen.moveTo(x, y);
    pen.lineTo(...place);
    pen.stroke();
    ring(pen, place, 6);
  }
  pen.globalAlpha = 1;
}
