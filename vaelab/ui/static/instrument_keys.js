// What keys do on the instrument: arrows move from point to point, with Shift from place to place, Enter mixes, 1 to 8
// play sources, space the mix, n draws anew, z undoes, and letters play the pads.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WRITES = "input:not([type=range]):not([type=checkbox]), select, textarea";

export function handleKey(event, target, { map, pads, ask, count }) {
  // Tells whether the key meant something; `count` is the number of sources.
  const { key } = event;
  if (target.matches(WRITES)) return false;
  if (ARROWS[key] && !target.matches("input")) return event.shiftKey ? walk(map, ask, event) : step(map, ask, ARROWS[key]);
  if ((key === " " || key === "Enter") && target.matches("button, input, summary")) return false; // they press it
  if (key === "Enter") return map.cursor >= 0 && acted(ask({ kind: "add", index: map.cursor }));
  if (key === " ") return acted(event.repeat || ask({ kind: "mix" }));
  if (key === "n") return acted(event.repeat || ask({ kind: "roll" }));
  if (key === "z") return acted(ask({ kind: "undo" }));
  if (/^[1-8]$/.test(key)) return acted(Number(key) > count || ask({ kind: "source", number: Number(key) - 1 }));
  return pads.key(event);
}

function step(map, ask, direction) {
  const index = map.step(...direction);
  if (index >= 0) ask({ kind: "play", index });
  return true;
}

function walk(map, ask, { key, repeat }) {
  const [x, y] = map.beside(...ARROWS[key]);
  ask({ kind: "decode", x, y, live: repeat });
  return true;
}

function acted() {
  return true;
}
