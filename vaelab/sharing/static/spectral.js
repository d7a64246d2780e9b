// Samples to mel features and spectra, and spectra to samples: the transform of `vaelab.spectral`, for one sound.
//
// A spectrum is { re, im }, each Float32Array (frames * bins), frame by frame; features are (frames * mels).

const POWER_FLOOR = 1e-10;
const MOST_GAIN_DB = 40;
const TINY = 1.1754943508222875e-38; // the least normal float32
const LEAST_WINDOW = 0.05; // of the most that windows sum to: where hardly one reaches
const LN_10 = Math.log(10);

class FrontEnd {
  // `numbers` and `tables` are those of `sharing.decoder.front_end`.
  constructor(numbers, { first, counts, filters, usual }) {
    Object.assign(this, numbers, { first, counts, filters, usual, numbers, shorter: new Map() });
    this.bins = this.window / 2 + 1;
    this.fft = new Fft(this.window);
    this.hann = Float64Array.from(
      { length: this.window },
      (_, at) => 0.5 - 0.5 * Math.cos((2 * Math.PI * at) / this.window),
    );
    this.buffer = { re: new Float64Array(this.window), im: new Float64Array(this.window) };
    this.begin = new Uint32Array(this.mels + 1); // where the weights of each band begin
    for (let band = 0; band < this.mels; band += 1) this.begin[band + 1] = this.begin[band] + this.counts[band];
    this.covering = this.toBins(new Float64Array(this.mels).fill(1)); // of each bin, the sum of its bands' weights
    this.power = this.windowPower();
  }

  // The same for so many frames, which are made once.
  shortened(frames) {
    if (!this.shorter.has(frames)) {
      this.shorter.set(frames, new FrontEnd({ ...this.numbers, frames, samples: frames * this.hop }, this));
    }
    return this.shorter.get(frames);
  }

  spectrum() {
    return { re: new Float32Array(this.frames * this.bins), im: new Float32Array(this.frames * this.bins) };
  }

  // Bands to bins and bins to bands, by the filters.

  toBins(bands, from = 0, bins = new Float64Array(this.bins)) {
    bins.fill(0);
    for (let band = 0; band < this.mels; band += 1) {
      const value = bands[from + band];
      const first = this.first[band] - this.begin[band];
      if (value) for (let at = this.begin[band]; at < this.begin[band + 1]; at += 1) bins[first + at] += value * this.filters[at];
    }
    return bins;
  }

  toBands(bins, bands = new Float64Array(this.mels)) {
    for (let band = 0; band < this.mels; band += 1) {
      const first = this.first[band] - this.begin[band];
      let sum = 0;
      for (let at = this.begin[band]; at < this.begin[band + 1]; at += 1) sum += bins[first + at] * this.filters[at];
      bands[band] = sum;
    }
    return bands;
  }

  windowPower() {
    const power = new Float64Array(this.samples);
    for (let frame = 0; frame < this.frames; frame += 1) {
      const start = frame * this.hop - this.window / 2;
      for (let at = Math.max(0, -start); at < this.window && start + at < this.samples; at += 1) power[start + at] += this.hann[at] ** 2;
    }
    const least = LEAST_WINDOW * power.reduce((most, value) => Math.max(most, value), 0);
    return power.map((value) => Math.max(value, least));
  }

  // Two frames go through one transform, as its real and its imaginary part.

  stft(samples, into = this.spectrum()) {
    for (let frame = 0; frame < this.frames; frame += 2) {
      this.cut(samples, frame, this.buffer.re);
      this.cut(samples, frame + 1, this.buffer.im);
      this.fft.transform(this.buffer.re, this.buffer.im);
      this.part(frame, into);
    }
    return into;
  }

  cut(samples, frame, into) {
    const start = frame * this.hop - this.window / 2;
    for (let at = 0; at < this.window; at += 1) {
      const sample = frame < this.frames ? samples[start + at] : 0;
      into[at] = sample === undefined ? 0 : sample * this.hann[at];
    }
  }

  part(frame, { re, im }) {
    const { re: x, im: y } = this.buffer;
    const [first, second] = [frame * this.bins, (frame + 1) * this.bins];
    const paired = frame + 1 < this.frames;
    for (let bin = 0; bin < this.bins; bin += 1) {
      const other = (this.window - bin) % this.window;
      re[first + bin] = (x[bin] + x[other]) / 2;
      im[first + bin] = (y[bin] - y[other]) / 2;
      if (!paired) continue;
      re[second + bin] = (y[bin] + y[other]) / 2;
      im[second + bin] = (x[other] - x[bin]) / 2;
    }
  }

  istft(spectrum, into = new Float64Array(this.samples)) {
    into.fill(0);
    for (let frame = 0; frame < this.frames; frame += 2) {
      this.join(frame, spectrum);
      this.fft.transform(this.buffer.im, this.buffer.re); // exchanged: the inverse
      this.add(this.buffer.re, frame, into);
      this.add(this.buffer.im, frame + 1, into);
    }
    for (let at = 0; at < this.samples; at += 1) into[at] /= this.power[at];
    return into;
  }

  join(frame, { re, im }) {
    const { re: x, im: y } = this.buffer;
    const [first, second, last] = [frame * this.bins, (frame + 1) * this.bins, this.bins - 1];
    const paired = frame + 1 < this.frames;
    for (let bin = 0; bin < this.bins; bin += 1) {
      const real = bin === 0 || bin === last; // of a real signal there, else it would leak into the other
      const a = re[first + bin];
      const b = real ? 0 : im[first + bin];
      const c = paired ? re[second + bin] : 0;
      const d = real || !paired ? 0 : im[second + bin];
      x[bin] = a - d;
      y[bin] = b + c;
      if (real) continue;
      x[this.window - bin] = a + d;
      y[this.window - bin] = c - b;
    }
  }

  add(frameSamples, frame, into) {
    if (frame >= this.frames) return;
    const start = frame * this.hop - this.window / 2;
    for (let at = Math.max(0, -start); at < this.window && start + at < this.samples; at += 1) into[start + at] += (frameSamples[at] * this.hann[at]) / this.window;
  }

  // Features of a spectrum, as of `vaelab.spectral.mel`, and the level in dB that they are relative to.

  features({ re, im }) {
    const decibels = new Float32Array(this.frames * this.mels);
    const [power, bands] = [new Float64Array(this.bins), new Float64Array(this.mels)];
    let [level, largest] = [-Infinity, 0];
    for (let frame = 0; frame < this.frames; frame += 1) {
      for (let bin = 0, at = frame * this.bins; bin < this.bins; bin += 1, at += 1) power[bin] = re[at] ** 2 + im[at] ** 2;
      this.toBands(power, bands);
      for (let band = 0; band < this.mels; band += 1) {
        largest = Math.max(largest, bands[band]);
        const value = (10 / LN_10) * Math.log(Math.max(bands[band], POWER_FLOOR));
        decibels[frame * this.mels + band] = value;
        level = Math.max(level, value);
      }
    }
    if (largest <= POWER_FLOOR) return { features: decibels.fill(0), level };
    return { features: decibels.map((value) => Math.min(1, Math.max(0, 1 + (value - level) / this.topDb))), level };
  }

  // Raise and lower the bands of a spectrum in place; bins that no band covers keep their level.
  equalise({ re, im }, gainsDb) {
    const shares = new Float64Array(this.bins);
    const frameGains = new Float64Array(this.mels);
    for (let frame = 0; frame < this.frames; frame += 1) {
      for (let band = 0; band < this.mels; band += 1) frameGains[band] = Math.min(gainsDb[frame * this.mels + band], MOST_GAIN_DB);
      this.toBins(frameGains, 0, shares);
      for (let bin = 0, at = frame * this.bins; bin < this.bins; bin += 1, at += 1) {
        const gain = Math.exp((shares[bin] / Math.max(this.covering[bin], TINY)) * (LN_10 / 20));
        re[at] *= gain;
        im[at] *= gain;
      }
    }
  }
}
