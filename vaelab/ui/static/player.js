// The player: waveform and spectrogram of one sound, heard by WebAudio. One engine for each model, however many
// views show it. All views of a page share one AudioContext, and one player falls silent when another begins.

const SHARED = Symbol.for("vaelab.audio");
const BEGIN = "vaelab-begin"; // event on the document: a player begins
const LEVEL_MS = 40;
const HEARD = 32768; // samples that the meter keeps: a busy page measures late, and misses no short sound
const SHOWN = 2048; // of which the newest are the level
const PATIENCE_MS = 10000; // for the machine's sound to start, once the page may sound
const MARGIN = { left: 46, bottom: 30 };
const WAVE = 64; // pixels high
const PICTURE = 140;

function bytes(value) {
  // Buffers come as DataView, or as Uint8Array in Colab; a copy is aligned for floats.
  if (!value || !value.byteLength) return new ArrayBuffer(0);
  return value.buffer.slice(value.byteOffset, value.byteOffset + value.byteLength);
}

async function running() {
  const context = (globalThis[SHARED] ??= new AudioContext());
  if (context.state !== "running") {
    // Before the first click on a page the browser lets nothing sound, and this promise stays open. After it, a busy
    // machine takes its time.
    const patience = navigator.userActivation?.hasBeenActive ? PATIENCE_MS : 500;
    await Promise.race([context.resume(), new Promise((done) => setTimeout(done, patience))]);
  }
  return context.state === "running" ? context : null;
}

class Engine {
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
    const samples = new Float32Array(bytes(this.model.get("samples")));
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

function element(kind, classes, parent, properties = {}) {
  const made = Object.assign(document.createElement(kind), { className: classes, ...properties });
  parent.append(made);
  return made;
}

function isDark(el) {
  // By the ink that the page itself writes with there; outside a page there is none yet.
  const ink = getComputedStyle(el).color.match(/[\d.]+/g) ?? [0, 0, 0];
  return Number(ink[0]) + Number(ink[1]) + Number(ink[2]) > 380;
}

class View {
  constructor(engine, model, el) {
    Object.assign(this, { engine, model, el });
    el.classList.add("vaelab-player");
    const bar = element("div", "vaelab-bar", el);
    this.button = element("button", "vaelab-play", bar, { type: "button" });
    this.button.onclick = () => (engine.source ? engine.stop() : engine.play(0));
    const loop = element("label", "vaelab-loop", bar, { title: "begin again at the end" });
    this.loop = element("input", "", loop, { type: "checkbox" });
    this.loop.onchange = () => {
      model.set("loop", this.loop.checked);
      model.save_changes();
    };
    loop.append("loop");
    this.meter = element("meter", "vaelab-level", bar, { min: 0, max: 1, title: "level, 1 is full scale" });
    this.title = element("span", "vaelab-title", bar);
    const stage = element("div", "vaelab-stage", el);
    this.canvas = element("canvas", "", stage);
    this.needle = element("div", "vaelab-needle", stage);
    this.canvas.onclick = (event) => engine.play(this.seconds(event.offsetX));
    this.changed = () => this.draw();
    this.told = (what) => this.show(what);
    engine.views.add(this.told);
    for (const name of ["change:image", "change:title", "change:loop"]) model.on(name, this.changed);
    this.size = new ResizeObserver(this.changed);
    this.size.observe(stage);
    this.theme = new MutationObserver(this.changed);
    this.theme.observe(document.body, { attributeFilter: ["data-jp-theme-light", "class"] });
    this.draw();
    this.show("loaded");
  }

  close() {
    this.engine.views.delete(this.told);
    for (const name of ["change:image", "change:title", "change:loop"]) this.model.off(name, this.changed);
    this.size.disconnect();
    this.theme.disconnect();
  }

  seconds(x) {
    const share = (x - MARGIN.left) / (this.canvas.clientWidth - MARGIN.left);
    return Math.max(0, Math.min(0.999, share)) * this.engine.seconds;
  }

  show(what) {
    const { engine, el } = this;
    if (what === "loaded") this.draw();
    const on = Boolean(engine.source);
    this.button.textContent = on ? "■ stop" : "▶ play";
    this.button.disabled = !engine.length;
    this.button.title = what === "blocked" ? "the browser plays nothing before a click on the page" : "";
    this.meter.value = engine.level;
    const wide = this.canvas.clientWidth - MARGIN.left;
    this.needle.style.display = on ? "block" : "none";
    this.needle.style.left = `${MARGIN.left + (wide * engine.place) / engine.seconds}px`;
    Object.assign(el.dataset, { level: engine.level, peak: engine.peak, plays: engine.plays, state: what });
  }

  draw() {
    const { model, canvas, engine } = this;
    this.title.textContent = model.get("title");
    this.title.title = model.get("title");
    this.loop.checked = model.get("loop");
    this.el.dataset.turn = model.get("turn");
    const pictured = model.get("image")?.byteLength > 0;
    const wide = Math.max(200, canvas.parentElement.clientWidth);
    const high = WAVE + (pictured ? PICTURE : 0) + MARGIN.bottom;
    const scale = devicePixelRatio || 1;
    Object.assign(canvas, { width: wide * scale, height: high * scale });
    Object.assign(canvas.style, { width: `${wide}px`, height: `${high}px` });
    this.needle.style.height = `${high - MARGIN.bottom}px`;
    const pen = canvas.getContext("2d");
    pen.scale(scale, scale);
    pen.font = "11px sans-serif";
    pen.fillStyle = getComputedStyle(this.el).color;
    if (pictured) this.picture(pen, wide);
    this.axes(pen, wide, high, pictured);
    pen.fillStyle = isDark(this.el) ? "#56b4e9" : "#0072b2";
    for (const samples of engine.channels) this.wave(pen, wide - MARGIN.left, samples);
    this.el.dataset.drawn = Number(this.el.dataset.drawn ?? 0) + 1;
  }

  wave(pen, wide, samples) {
    const step = samples.length / wide;
    for (let x = 0; x < wide && samples.length; x += 1) {
      let [low, top] = [0, 0];
      for (let at = Math.floor(x * step); at < (x + 1) * step && at < samples.length; at += 1) {
        low = Math.min(low, samples[at]);
        top = Math.max(top, samples[at]);
      }
      const middle = WAVE / 2;
      pen.fillRect(MARGIN.left + x, middle - top * middle, 1, Math.max(1, (top - low) * middle));
    }
  }

  picture(pen, wide) {
    const [frames, bands] = [this.model.get("frames"), this.model.get("bands")];
    const colours = new Uint8Array(bytes(this.model.get("image")));
    const image = new ImageData(frames, bands);
    for (let at = 0, to = 0; at < colours.length; at += 3, to += 4) {
      image.data.set([colours[at], colours[at + 1], colours[at + 2], 255], to);
    }
    const small = Object.assign(document.createElement("canvas"), { width: frames, height: bands });
    small.getContext("2d").putImageData(image, 0, 0);
    pen.drawImage(small, MARGIN.left, WAVE, wide - MARGIN.left, PICTURE);
    pen.textAlign = "right";
    for (const [place, name] of this.model.get("pitches")) {
      pen.fillText(name, MARGIN.left - 5, WAVE + PICTURE * (1 - place) + 4);
    }
    pen.fillText(`black: ${this.model.get("floor_db")} dB below the loudest`, wide, WAVE + PICTURE + MARGIN.bottom - 4);
    pen.save();
    pen.translate(9, WAVE + PICTURE / 2);
    pen.rotate(-Math.PI / 2);
    pen.textAlign = "center";
    pen.fillText("frequency (Hz)", 0, 0);
    pen.restore();
  }

  axes(pen, wide, high) {
    pen.textAlign = "right";
    pen.fillText("1", MARGIN.left - 5, 10);
    pen.fillText("−1", MARGIN.left - 5, WAVE - 2);
    pen.fillRect(MARGIN.left, high - MARGIN.bottom, wide - MARGIN.left, 1);
    for (const share of [0, 0.25, 0.5, 0.75, 1]) {
      pen.textAlign = share === 0 ? "left" : share === 1 ? "right" : "center";
      const x = MARGIN.left + share * (wide - MARGIN.left);
      pen.fillText((share * this.engine.seconds).toPrecision(2), x, high - MARGIN.bottom + 13);
    }
    pen.textAlign = "center";
    pen.fillText("time (s)", (MARGIN.left + wide) / 2, high - 4);
  }
}

export default () => {
  let engine;
  return {
    initialize({ model }) {
      engine = new Engine(model);
      return () => engine.close();
    },
    render({ model, el }) {
      const view = new View(engine, model, el);
      return () => view.close();
    },
  };
};
