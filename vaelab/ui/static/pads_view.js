// Sixteen pads to click, touch, or play by keys and MIDI.

import { Midi } from "./midi.js";
import { PadBank } from "./pad_bank.js";
import { element, listen } from "./page.js";

export const PAD_KEYS = "qwertuioasdfghjk"; // by the letter that a key writes; y and z change places in some countries
const LIT_MS = 150;

export class PadsView {
  constructor(model, el) {
    Object.assign(this, { model, el, bank: new PadBank(model), turn: 0, start: performance.now() });
    el.classList.add("vaelab-pads");
    const bar = element("div", "vaelab-bar", el);
    element("span", "vaelab-pads-title", bar, { textContent: "the last sounds" });
    this.midi = new Midi((number, loudness) => this.play(number, loudness));
    this.connecting = element("button", "", bar, { type: "button", textContent: "MIDI", hidden: !Midi.there });
    this.connecting.title = "play the pads by MIDI, from note 36 up";
    this.connecting.onclick = () => this.connect();
    const kit = element("button", "", bar, { type: "button", textContent: "save kit" });
    kit.title = "write these sounds as a kit: WAVs, drumkit.xml, .sfz";
    kit.onclick = () => this.askKit();
    this.said = element("span", "vaelab-said", bar, { role: "status" });
    this.grid = element("div", "vaelab-pad-grid", el, { role: "group", ariaLabel: "the last sounds made" });
    this.buttons = [...PAD_KEYS].map((key, number) => this.button(key, number));
    this.silent = listen(model, {
      "change:pads": () => this.show(),
      "change:pads_said": () => (this.said.textContent = model.get("pads_said")),
    });
    this.show();
  }

  button(key, number) {
    const button = element("button", "vaelab-pad", this.grid, { type: "button" });
    element("kbd", "", button, { textContent: key });
    element("span", "", button);
    button.onpointerdown = (event) => event.button === 0 && this.play(number);
    button.onclick = (event) => event.detail === 0 && this.play(number); // by Enter: no pointer was down
    return button;
  }

  show() {
    this.model.get("pads").forEach(({ title = "" }, number) => {
      const button = this.buttons[number];
      button.disabled = !title;
      button.lastChild.textContent = title;
      button.title = title;
      button.ariaLabel = title ? `pad ${number + 1}, key ${PAD_KEYS[number]}: ${title}` : `pad ${number + 1}: empty`;
    });
  }

  async play(number, loudness = 1) {
    if (!(await this.bank.play(number, loudness))) return;
    const button = this.buttons[number];
    button.classList.add("vaelab-lit");
    setTimeout(() => button.classList.remove("vaelab-lit"), LIT_MS);
    Object.assign(this.el.dataset, { padPlays: this.bank.plays, pad: number });
  }

  key(event) {
    // Plays the pad of a key; tells whether it is one.
    const number = event.key.length === 1 ? PAD_KEYS.indexOf(event.key.toLowerCase()) : -1;
    if (number < 0) return false;
    if (!event.repeat) this.play(number);
    return true;
  }

  async connect() {
    try {
      const inputs = await this.midi.connect();
      this.said.textContent = inputs ? `MIDI: ${inputs} inputs` : "MIDI: no input yet";
    } catch (error) {
      this.said.textContent = `MIDI: ${error.message}`;
    }
  }

  askKit() {
    this.turn += 1;
    this.model.set("kit_asked", { turn: `${this.start}:${this.turn}` });
    this.model.save_changes();
  }

  close() {
    this.silent();
    this.midi.close();
  }
}
