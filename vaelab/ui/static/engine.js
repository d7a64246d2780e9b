// One sound heard by WebAudio: one engine for each model, however many views show it. All views of a page share one
// AudioContext, and one player falls silent when another begins.

import { numbers } from "./page.js";

const SHARED = Symbol.for("vaelab.audio");
const BEGIN = "vaelab-begin"; // event on the document: a player begins
const LEVEL_MS = 40;
const HEARD = 32768; // samples that the meter keeps: a busy page measures late, and misses no short sound
const SHOWN = 2048; // of which the newest are the level
const PATIENCE_MS = 10000; // for the machine's sound to start, once the page may sound

export async function running() {
  const context = (globalThis[SHARED] ??= new AudioContext());
  if (context.state !== "running") {
    // Before the first click on a page the browser lets nothing sound, and this promise stays open. After it, a busy
    // machine takes its time.
    const patience = navigator.userActivation?.hasBeenActive ? PATIENCE_MS : 500;
    await Promise.race([context.resume(), new Promise((done) => setTimeout(done, patience))]);
  }
  return context.state === "running" ? context : null;
}

export class Engine {
  constructor(model) {
    Object.assign(this, { model, views: new Set(), source: null, plays: 0, level: 0, peak: 0, offset: 0, asked: 0 });
    this.load();
    model.on("change:turn", () => {
      this.stop();
      this.load();
      this.tell("loaded");
      if (model.get("autoplay")) this.play(0);
    });
    model.on("change:loop", () => this.source && (this.source.loop = model.get("loop")));
    this.silence = (event) => event.detail !== this && this.stop();
    document.addEventListener(BEGIN, this.silence);
  }

  load() {
    const samples = numbers(this.model.get("samples"), Float32Array);
    const count = this.model.get("channels");
    this.length = samples.length / count;
    this.channels = Array.from({ length: count }, (_, at) => samples.subarray(at * this.length, (at + 1) * this.length));
    this.seconds = this.length / this.model.get("sample_rate");
  }

  async play(from) {
    if (!this.length) return;
    this.stop();
    const asked = ++this.asked;
    const context = await running();
    if (asked !== this.asked) return; // another sound, or stop, came meanwhile
    if (!context) return this.tell("blocked");
    document.dispatchEvent(new CustomEvent(BEGIN, { detail: this }));
    const buffer = context.createBuffer(this.channels.length, this.length, this.model.get("sample_rate"));
    this.channels.forEach((samples, at) => buffer.copyToChannel(samples, at));
    this.meter = context.createAnalyser();
    this.meter.fftSize = HEARD;
    this.source = context.createBufferSource();
    Object.assign(this.source, { buffer, loop: this.model.get("loop") });
    this.source.connect(this.meter).connect(context.destination);
    this.source.onended = () => (this.measure(), this.stop());
    Object.assign(this, { context, offset: from, began: context.currentTime, peak: 0 });
    this.plays += 1;
    this.source.start(0, from);
    this.timer = setInterval(() => this.measure(), LEVEL_MS);
    this.tell("playing");
  }

  stop() {
    this.asked += 1;
    if (!this.source) return;
    this.source.onended = null;
    this.source.stop();
    this.source = null;
    clearInterval(this.timer);
    this.level = 0;
    this.tell("stopped");
  }

  measure() {
    const heard = new Float32Array(HEARD);
    this.meter.getFloatTimeDomainData(heard);
    const loudest = (samples) => samples.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    this.level = loudest(heard.subarray(HEARD - SHOWN));
    this.peak = Math.max(this.peak, loudest(heard));
    this.tell("level");
  }

  get place() {
    // Seconds from the beginning of the sound.
    if (!this.source) return 0;
    const run = this.offset + this.context.currentTime - this.began;
    return this.source.loop ? run % this.seconds : Math.min(run, this.seconds);
  }

  tell(what) {
    for (const view of this.views) view(what);
  }

  close() {
    this.stop();
    document.removeEventListener(BEGIN, this.silence);
  }
}
