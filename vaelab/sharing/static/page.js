// The page: what is clicked or pressed is played, and only then shown.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const { arrays, shapes } = unpacked(data.table, bytesOf(byId("bytes").textContent.trim()).buffer);
const { points, groups } = arrays;
const latentSize = data.decoder ? shapes.latents[1] : 0;
const compared = data.decoder ? probed(arrays.latents, latentSize, arrays.probe) : null;
const nearSize = shapes.near[1];
const voice = new Voice();
const state = { turn: 0, waiting: null, busy: false, again: null };
const plane = new Plane(byId("map"), points, groups, data.sounds.map((sound) => sound !== null), {
  point: (index) => playPoint(index),
  place: (x, y) => playPlace([x, y]),
  hover: (index, x, y) => showTip(index, x, y),
});

const worker = data.decoder ? new Worker(URL.createObjectURL(new Blob([byId("worker").textContent], { type: "text/javascript" }))) : null;
if (worker) {
  const weights = bytesOf(byId("weights").textContent.trim()).buffer;
  worker.postMessage({ table: data.decoder.table, buffer: weights, front: data.decoder.front, about: data.decoder.about }, [weights]);
  worker.onmessage = ({ data: answer }) => decoded(answer);
  worker.onerror = (event) => {
    state.busy = false;
    byId("kind").textContent = `not decoded: ${event.message}`;
  };
}

const nearOf = (index) => arrays.near.subarray(index * nearSize, (index + 1) * nearSize);

// Only the newest of what was asked for is decoded.
function decode(z, asked) {
  state.waiting = { z, asked };
  byId("kind").textContent = "the model is playing it ...";
  if (!state.busy) send();
}

function send() {
  const { z, asked } = state.waiting;
  Object.assign(state, { waiting: null, busy: true, asked });
  worker.postMessage({ turn: asked.turn, z });
}

function decoded({ samples, ms }) {
  const { asked } = state;
  state.busy = false;
  document.body.dataset.decodeMs = ms;
  if (asked.turn === state.turn) hear(voice.made(samples, data.decoder.front.rate), asked);
  if (state.waiting) send();
}

function playPoint(index, begin = performance.now()) {
  const [turn, sound] = [(state.turn += 1), data.sounds[index]];
  const shown = { turn, begin, index, mark: null, near: nearOf(index), title: data.names[index] };
  state.again = () => playPoint(index);
  if (sound !== null) return playSound(`sound ${index}`, sound, { ...shown, kind: `in this page: ${data.kinds[index]}` });
  if (worker) {
    const z = Float64Array.from(arrays.latents.subarray(index * latentSize, (index + 1) * latentSize));
    return decode(z, { ...shown, kind: "as the model plays it; its recording is not in this page" });
  }
  playPlace([points[2 * index], points[2 * index + 1]], begin);
}

function playPlace(place, begin = performance.now()) {
  const turn = (state.turn += 1);
  state.again = () => playPlace(place);
  if (worker) {
    const z = latentAt(points, arrays.latents, latentSize, place);
    const near = nearTo(compared, probed(z, latentSize, arrays.probe), nearSize);
    const shown = { turn, begin, index: -1, mark: place, near, title: "between sounds" };
    return decode(z, { ...shown, kind: "decoded by the model in this page" });
  }
  const { places, placeNear } = arrays;
  const far = (at) => Math.hypot((places[2 * at] - place[0]) * plane.scale[0], (places[2 * at + 1] - place[1]) * plane.scale[1]);
  const [at] = least(data.placeSounds.length, 1, far);
  const near = placeNear.subarray(at * shapes.placeNear[1], (at + 1) * shapes.placeNear[1]);
  const mark = [places[2 * at], places[2 * at + 1]];
  const shown = { turn, begin, index: -1, mark, near, title: "between sounds" };
  playSound(`place ${at}`, data.placeSounds[at], { ...shown, kind: "the nearest place that the model played beforehand" });
}

async function playSound(key, base64, asked) {
  const buffer = await voice.buffer(key, base64);
  if (asked.turn === state.turn) await hear(buffer, asked);
}

async function hear(buffer, asked) {
  await voice.play(buffer);
  const { dataset } = document.body;
  dataset.ms = performance.now() - asked.begin;
  dataset.plays = Number(dataset.plays ?? 0) + 1;
  requestAnimationFrame(() => show(buffer, asked));
}

function show(buffer, { index, mark, near, title, kind }) {
  state.buffer = buffer;
  plane.show(index, mark, near);
  byId("name").textContent = title;
  byId("kind").textContent = kind;
  byId("said").textContent = `${title}, ${kind}`;
  byId("play").disabled = false;
  byId("near").replaceChildren(...[...near].map(nearButton));
  drawWave(byId("wave"), buffer);
}

function nearButton(index) {
  const [item, button] = [document.createElement("li"), document.createElement("button")];
  Object.assign(button, { type: "button", textContent: data.names[index], onclick: () => playPoint(index) });
  button.dir = "auto";
  item.append(button);
  return item;
}

function drawWave(canvas, buffer) {
  const [wide, high, ratio] = [canvas.clientWidth, canvas.clientHeight, devicePixelRatio || 1];
  Object.assign(canvas, { width: Math.round(wide * ratio), height: Math.round(high * ratio) });
  const [pen, samples] = [canvas.getContext("2d"), buffer.getChannelData(0)];
  pen.scale(ratio, ratio);
  pen.fillStyle = getComputedStyle(canvas).color;
  for (let x = 0; x < wide; x += 1) {
    const [from, to] = [x, x + 1].map((at) => Math.floor((at * samples.length) / wide));
    let most = 0;
    for (let at = from; at < to; at += 1) most = Math.max(most, Math.abs(samples[at]));
    pen.fillRect(x, ((1 - most) * high) / 2, 1, Math.max(1, most * high));
  }
}

function showTip(index, x, y) {
  const tip = byId("tip");
  tip.hidden = index < 0;
  if (index < 0) return;
  if (data.sounds[index] !== null) voice.buffer(`sound ${index}`, data.sounds[index]).catch(() => {}); // a click says it
  tip.textContent = data.names[index];
  tip.style.left = `${Math.max(0, Math.min(x + 12, plane.wide - tip.offsetWidth - 4))}px`;
  tip.style.top = `${y + 12 + tip.offsetHeight > plane.high ? y - 12 - tip.offsetHeight : y + 12}px`;
}

function walkTo(index) {
  plane.show(index, null, nearOf(index));
  byId("said").textContent = data.names[index];
  byId("name").textContent = data.names[index];
  byId("kind").textContent = "press space to play";
  state.again = () => playPoint(index);
  byId("play").disabled = false;
}

const KEYS = {
  ArrowLeft: () => walkTo(plane.step(-1, 0)),
  ArrowRight: () => walkTo(plane.step(1, 0)),
  ArrowUp: () => walkTo(plane.step(0, -1)),
  ArrowDown: () => walkTo(plane.step(0, 1)),
  PageDown: () => walkTo((plane.current + 1) % plane.count),
  PageUp: () => walkTo((Math.max(plane.current, 0) + plane.count - 1) % plane.count),
  " ": () => state.again?.(),
  Enter: () => state.again?.(),
  "+": () => plane.zoom(1.5),
  "-": () => plane.zoom(1 / 1.5),
  0: () => plane.fit(),
};

byId("map").addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
  event.preventDefault();
  KEYS[event.key]();
});
byId("play").onclick = () => state.again?.();
byId("in").onclick = () => plane.zoom(1.5);
byId("out").onclick = () => plane.zoom(1 / 1.5);
byId("all").onclick = () => plane.fit();
addEventListener("resize", () => state.buffer && drawWave(byId("wave"), state.buffer));
addEventListener("unhandledrejection", ({ reason }) => (byId("kind").textContent = `not played: ${reason.message}`));
