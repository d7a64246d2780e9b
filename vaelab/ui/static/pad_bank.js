// The sounds of the pads, for WebAudio: any of them over any other.

import { running } from "./engine.js";
import { numbers } from "./page.js";

export class PadBank {
  constructor(model) {
    Object.assign(this, { model, buffers: new Map(), plays: 0 });
  }

  buffer(number, context) {
    // The samples of a pad, decoded once for each sound that it has had.
    const { turn, channels, sample_rate: rate } = this.model.get("pads")[number];
    const ready = this.buffers.get(number);
    if (ready?.turn === turn) return ready.buffer;
    const samples = numbers(this.model.get(`pad_${number}`), Int16Array);
    const length = samples.length / channels;
    const buffer = context.createBuffer(channels, length, rate);
    for (let channel = 0; channel < channels; channel += 1) {
      const part = samples.subarray(channel * length, (channel + 1) * length);
      buffer.copyToChannel(Float32Array.from(part, (value) => value / 32768), channel);
    }
    this.buffers.set(number, { turn, buffer });
    return buffer;
  }

  holds(number) {
    return Boolean(this.model.get("pads")[number]?.turn);
  }

  async play(number, loudness = 1) {
    // Tells whether the pad holds a sound and the page may play it.
    if (!this.holds(number)) return false;
    const context = await running();
    if (!context) return false;
    const source = context.createBufferSource();
    const gain = context.createGain();
    source.buffer = this.buffer(number, context);
    gain.gain.value = loudness;
    source.connect(gain).connect(context.destination);
    source.start();
    this.plays += 1;
    return true;
  }
}

