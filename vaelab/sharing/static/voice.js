// Playing: sounds of the page and of its decoder, one at a time, the last few ready to play.

const READY = 48; // sounds that stay decoded
const FADE_OUT_S = 0.01;

class Voice {
  constructor() {
    this.ready = new Map();
  }

  // The page's sound; browsers let it run after the first click or key.
  get context() {
    this.sounding ??= new AudioContext({ latencyHint: "interactive" });
    return this.sounding;
  }

  // The samples of a compressed sound (AudioBuffer), by a key that names it.
  buffer(key, base64) {
    const kept = this.ready.get(key) ?? this.context.decodeAudioData(bytesOf(base64).buffer);
    this.ready.delete(key);
    this.ready.set(key, kept); // the newest is the last
    if (this.ready.size > READY) this.ready.delete(this.ready.keys().next().value);
    return kept;
  }

  // An AudioBuffer of samples at a rate in Hz.
  made(samples, rate) {
    const buffer = this.context.createBuffer(1, samples.length, rate);
    buffer.copyToChannel(samples, 0);
    return buffer;
  }

  async play(buffer) {
    if (this.context.state !== "running") await this.context.resume();
    this.stop();
    const [source, gain] = [this.context.createBufferSource(), this.context.createGain()];
    source.buffer = buffer;
    source.connect(gain).connect(this.context.destination);
    source.start();
    this.playing = { source, gain };
  }

  stop() {
    if (!this.playing) return;
    const { source, gain } = this.playing;
    gain.gain.setTargetAtTime(0, this.context.currentTime, FADE_OUT_S / 3);
    source.stop(this.context.currentTime + FADE_OUT_S);
    this.playing = null;
  }
}
