// The mix on the map: its sources with their numbers, and the mark between them that sets their weights.

const MARK = 9; // CSS pixels
const GRIP = 16; // from the mark within which it is grabbed
const BADGE = 8;
const LOOKS = { light: { mark: "#d55e00", badge: "#000000", digit: "#ffffff" }, dark: { mark: "#e69f00", badge: "#ffffff", digit: "#000000" } };

export function isOnMark(view, { at }, x, y) {
  if (!at) return false;
  const [left, top] = view.camera.there(...at);
  return Math.hypot(x - left, y - top) <= GRIP;
}

export function paintMix(pen, view, sources, { at }, dark) {
  const look = dark ? LOOKS.dark : LOOKS.light;
  const most = Math.max(1e-9, ...sources.map(({ weight }) => Math.abs(weight)));
  pen.save();
  if (at) {
    const mark = view.camera.there(...at);
    for (const { index, weight } of sources) line(pen, mark, view.there(index), (4 * Math.abs(weight)) / most, look.mark);
    diamond(pen, mark, look);
  }
  sources.forEach(({ index }, number) => badge(pen, view.there(index), number + 1, look));
  pen.restore();
}

function line(pen, from, to, width, colour) {
  if (width < 0.05) return;
  Object.assign(pen, { strokeStyle: colour, lineWidth: width, globalAlpha: 0.7 });
  pen.beginPath();
  pen.moveTo(...from);
  pen.lineTo(...to);
  pen.stroke();
  pen.globalAlpha = 1;
}

function diamond(pen, [x, y], look) {
  Object.assign(pen, { fillStyle: look.mark, strokeStyle: look.badge, lineWidth: 2 });
  pen.beginPath();
  for (const [dx, dy] of [[0, -1], [1, 0], [0, 1], [-1, 0]]) pen.lineTo(x + dx * MARK, y + dy * MARK);
  pen.closePath();
  pen.fill();
  pen.stroke();
}

function badge(pen, [x, y], number, look) {
  // Beside the point, which stays to be seen.
  const [left, top] = [x + BADGE + 3, y - BADGE - 3];
  pen.fillStyle = look.badge;
  pen.beginPath();
  pen.arc(left, top, BADGE, 0, 2 * Math.PI);
  pen.fill();
  Object.assign(pen, { fillStyle: look.digit, font: "bold 11px sans-serif", textAlign: "center", textBaseline: "middle" });
  pen.fillText(number, left, top + 0.5);
}
