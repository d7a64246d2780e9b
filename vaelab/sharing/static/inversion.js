// Features to samples with an estimated phase: the ways and constants of `vaelab.spectral.invert`, which explains them.

const MEL_UPDATES = 24;
const MOMENTUM = 0.99;
const HANN_GAMMA = 0.25645;
const ONSET_NEPERS = 0.3;
const NOISY_HZ = 2500;
const PHASE_FLOOR = 1e-4;
const LEAST_TARGET = Math.sqrt(TINY);

// White noise of a fixed seed (mulberry32, Box and Muller), so that the same place is the same sound.
function whiteNoise(count, seed = 1) {
  let state = seed;
  const uniform = () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
  return Float64Array.from({ length: count }, () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform()));
}

// Magnitudes (frames * bins) of the non-negative power spectrum behind features.
function magnitudes(front, features) {
  const { frames, mels, bins, topDb } = front;
  const result = new Float32Array(frames * bins);
  const [bands, target, spectrum, estimate] = [new Float64Array(mels), new Float64Array(bins), new Float64Array(bins), new Float64Array(bins)];
  const sums = front.toBands(new Float64Array(bins).fill(1));
  const start = front.toBins(sums).map((value) => Math.max(value, LEAST_TARGET));
  for (let frame = 0; frame < frames; frame += 1) {
    let silent = true;
    for (let band = 0; band < mels; band += 1) {
      const feature = features[frame * mels + band];
      silent &&= feature <= 0;
      bands[band] = feature > 0 ? Math.exp(((feature - 1) * topDb * LN_10) / 10) : 0;
    }
    if (silent) continue;
    front.toBins(bands, 0, target);
    for (let bin = 0; bin < bins; bin += 1) spectrum[bin] = target[bin] / start[bin];
    for (let update = 0; update < MEL_UPDATES; update += 1) {
      front.toBins(front.toBands(spectrum, bands), 0, estimate);
      for (let bin = 0; bin < bins; bin += 1) {
        const ratio = target[bin] / Math.max(estimate[bin], LEAST_TARGET);
        const root = Math.sqrt(ratio);
        spectrum[bin] *= ratio * root * Math.sqrt(root);
      }
    }
    for (let bin = 0; bin < bins; bin += 1) result[frame * bins + bin] = Math.sqrt(spectrum[bin]);
  }
  return result;
}

// A phase in radians (frames * bins) from magnitudes alone.
function guessPhase(front, magnitude) {
  const { frames, bins, window, hop } = front;
  const gamma = HANN_GAMMA * window ** 2;
  const largest = magnitude.reduce((most, value) => Math.max(most, value), 0);
  const floor = Math.max(PHASE_FLOOR * largest, TINY);
  const log = Float64Array.from(magnitude, (value) => Math.log(value + floor));
  const phase = new Float64Array(frames * bins);
  for (let frame = 0; frame < frames; frame += 1) {
    const row = frame * bins;
    const inside = frame > 0 && frame < frames - 1;
    let [travelled, first] = [0, 0];
    for (let bin = 0; bin < bins; bin += 1) {
      const at = row + bin;
      const overTime = inside ? (log[at + bins] - log[at - bins]) / (2 * hop) : 0;
      const slope = (gamma / (2 * Math.PI)) * overTime;
      const delay = window / 2 + Math.max(-window / 2, Math.min(window / 2, slope));
      if (!bin) first = delay;
      travelled += delay;
      if (!frame || log[at] > log[at - bins] + ONSET_NEPERS) {
        phase[at] = ((-2 * Math.PI) / window) * (travelled - first);
        continue;
      }
      const overFrequency = ((log[row + Math.min(bin + 1, bins - 1)] - log[row + Math.max(bin - 1, 0)]) * window) / 2;
      const turned = phase[at - bins] + (2 * Math.PI * hop * bin) / window + (hop / gamma) * overFrequency;
      phase[at] = turned - 2 * Math.PI * Math.floor(turned / (2 * Math.PI));
    }
  }
  return phase;
}

// Samples of features: a phase by guess, above `NOISY_HZ` that of the noise whose spectrum is given, refined by fast
// Griffin-Lim.
function invert(front, features, noise, rounds) {
  const magnitude = magnitudes(front, features);
  const phase = guessPhase(front, magnitude);
  const spectrum = front.spectrum();
  for (let at = 0; at < magnitude.length; at += 1) {
    let [x, y] = [noise.re[at], noise.im[at]];
    const noisy = ((at % front.bins) * front.rate) / front.window >= NOISY_HZ;
    const scale = noisy ? magnitude[at] / Math.max(Math.sqrt(x * x + y * y), 1e-12) : magnitude[at];
    if (!noisy) [x, y] = [Math.cos(phase[at]), Math.sin(phase[at])];
    spectrum.re[at] = x * scale;
    spectrum.im[at] = y * scale;
  }
  return front.istft(griffinLim(front, magnitude, spectrum, rounds));
}

function griffinLim(front, magnitude, spectrum, rounds) {
  let [previous, consistent] = [front.spectrum(), front.spectrum()];
  const samples = new Float64Array(front.samples);
  for (let round = 0; round < rounds; round += 1) {
    front.stft(front.istft(spectrum, samples), consistent);
    for (let at = 0; at < magnitude.length; at += 1) {
      const x = consistent.re[at] + MOMENTUM * (consistent.re[at] - previous.re[at]);
      const y = consistent.im[at] + MOMENTUM * (consistent.im[at] - previous.im[at]);
      const scale = magnitude[at] / Math.max(Math.sqrt(x * x + y * y), 1e-12);
      spectrum.re[at] = x * scale;
      spectrum.im[at] = y * scale;
    }
    [previous, consistent] = [consistent, previous];
  }
  return spectrum;
}
