// The view of a sound: buttons, level, waveform and spectrogram.

import { element, isDark, listen, numbers, watch } from "./page.js";

const MARGIN = { left: 46, bottom: 30 };
const WAVE = 64; // pixels high
const PICTURE = 140;

export class SoundView {
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
    this.changed = () => this.redraw();
    this.told = (what) => this.show(what);
    engine.views.add(this.told);
    const { changed } = this;
    this.silent = listen(model, { "change:image": changed, "change:title": changed, "change:loop": changed });
    this.unwatch = watch(stage, changed, changed);
    this.draw();
    this.show("stopped");
  }

  close() {
    cancelAnimationFrame(this.frame);
    this.engine.views.delete(this.told);
    this.silent();
    this.unwatch();
  }

  seconds(x) {
    const share = (x - MARGIN.left) / (this.canvas.clientWidth - MARGIN.left);
    return Math.max(0, Math.min(0.999, share)) * this.engine.seconds;
  }

  show(what) {
    const { engine, el } = this;
    if (what === "loaded") this.redraw();
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

  redraw() {
    // Once a frame, and after a new sound has begun: several of its traits change at once.
    cancelAnimationFrame(this.frame);
    this.frame = requestAnimationFrame(() => this.draw());
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
    const colours = numbers(this.model.get("image"), Uint8Array);
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
