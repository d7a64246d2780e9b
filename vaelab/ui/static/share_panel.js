// A page to share: one asks for it, and says whether recordings may be in it.

import { element } from "./page.js";

const WARNING =
  "One HTML file that plays in any browser, without Python or a network. Whoever has it can copy the sounds in it; " +
  "the names of all sounds are in it, and the model plays those that are left out.";
const CHOICES = [
  ["without recordings", "made", "only built-in sounds, and those that vaelab made of nothing else"],
  ["with recordings", "real", "all sounds, as many as there is room for in 10 MB"],
];

export function addSharePanel(el, ask) {
  const panel = element("details", "vaelab-share", el);
  element("summary", "", panel, { textContent: "share as a page" });
  element("p", "", panel, { textContent: WARNING });
  for (const [text, sounds, title] of CHOICES) {
    const button = element("button", "", panel, { type: "button", textContent: text, title });
    button.onclick = () => (ask({ kind: "share", sounds }), (panel.open = false));
  }
}
