// What keys do on the instrument: arrows move over the map, Enter mixes, 1 to 8 play sources, space the mix, z undoes,
// and letters play the pads.

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
const WRITES = "input:not([type=range]):not([type=checkbox]), select, textarea";

export function handleKey(event, target, { map, pads, ask, count }) {
  // Tells whether the key meant something; `count` is the number of sources.
  const { key } = event;
  if (target.matches(WRITES)) return false;
  if (ARROWS[key] && !target.matches("input")) return step(map, ask, ARROWS[key]);
  if ((key === " " || key === "Enter") && target.matches("button, input")) return false; // they press it
  if (key === "Enter") return map.cursor >= 0 && acted(ask({ kind: "add", index: map.cursor }));
  if (key === " ") return acted(event.repeat || ask({ kind: "mix" }));
  if (key === "z") return acted(ask({ kind: "undo" }));
  if (/^[1-8]$/.test(key)) return acted(Number(key) > count || ask({ kind: "source", number: Number(key) - 1 }));
  return pads.key(event);
}

function step(map, ask, direction) {
  const index = map.step(...direction);
  if (index >= 0) ask({ kind: "play", index });
  return true;
}

function acted() {
  return true;
}
