// Sound of tones and noise for features without a phase, as `vaelab.texture` makes it, which explains the ways.

const NEIGHBOURS = [-3, -2, 2, 3];
const STEADY_S = 0.1;
const [NOISE_DB, TONE_DB] = [3, 12];
const [LEAST_TONAL, MOST_TONAL] = [0.001, 0.999];
const TONE_ROUNDS = 8;
const LEAST_POWER = 1e-5;
const FADE_S = 0.0005;
const INAUDIBLE = 0.1; // features, of 1: more than 70 dB below the loudest; sounds end where nothing exceeds it
const STEP = 16; // frames by which the lengths of sounds differ
const PEAK = 10 ** (-1 / 20); // -1 dBFS, of the samples

// Samples (Float32Array) of features, up to where they become inaudible: most sounds are shorter than a clip.
function played(front, features) {
  const last = features.findLastIndex((value) => value > INAUDIBLE);
  const frames = Math.floor(last / front.mels) + 1 + Math.ceil(front.window / front.hop);
  const rounded = Math.ceil(frames / STEP) * STEP;
  if (rounded >= front.frames) return synthesise(front, features);
  return synthesise(front.shortened(rounded), features.subarray(0, rounded * front.mels));
}

// Samples (Float32Array) of features, at -1 dBFS.
function synthesise(front, features) {
  front.noise ??= whiteNoise(front.samples);
  front.noiseSpectrum ??= front.stft(front.noise);
  const tones = invert(front, features, front.noiseSpectrum, TONE_ROUNDS);
  const gate = gateFrom(front, onset(front, features));
  const share = tonalShare(front, features);
  const part = (samples, ofPower) => {
    const target = features.map((value, at) => value + (10 * Math.log10(ofPower(share[at]))) / front.topDb);
    return shaped(front, gated(samples, gate), target);
  };
  const spectrum = part(tones, (tonal) => tonal);
  const beside = part(front.noise, (tonal) => 1 - tonal);
  for (let at = 0; at < spectrum.re.length; at += 1) {
    spectrum.re[at] += beside.re[at];
    spectrum.im[at] += beside.im[at];
  }
  const summed = shaped(front, gated(front.istft(spectrum), gate), features);
  return finished(front, gated(front.istft(summed), gate));
}

function gateFrom(front, start) {
  return Float64Array.from({ length: front.samples }, (_, at) => Math.max(0, Math.min(1, (at - start) / (FADE_S * front.rate))));
}

function gated(samples, gate) {
  return samples.map((sample, at) => sample * gate[at]);
}

// The spectrum of samples with its bands raised and lowered to a target, and nothing outside of them.
function shaped(front, samples, target) {
  const spectrum = front.stft(samples);
  const { features, level } = front.features(spectrum);
  const scale = 10 ** (-level / 20);
  for (let at = 0; at < spectrum.re.length; at += 1) {
    const gain = front.covering[at % front.bins] ? scale : 0;
    spectrum.re[at] *= gain;
    spectrum.im[at] *= gain;
  }
  front.equalise(spectrum, features.map((value, at) => front.topDb * (target[at] - value)));
  return spectrum;
}

// Share of power that is tones, of each cell.
function tonalShare(front, features) {
  const { frames, mels, topDb } = front;
  const steady = meanOverFrames(front, features, Math.max(1, Math.round((STEADY_S * front.rate) / front.hop)));
  const share = new Float32Array(frames * mels);
  for (let at = 0; at < share.length; at += 1) {
    const band = at % mels;
    const row = at - band;
    let around = 0;
    for (const step of NEIGHBOURS) around += steady[row + Math.max(0, Math.min(mels - 1, band + step))] / NEIGHBOURS.length;
    const above = topDb * (steady[at] - around);
    const noisy = Math.max(0, Math.min(1, (TONE_DB - above) / (TONE_DB - NOISE_DB)));
    share[at] = Math.max(LEAST_TONAL, Math.min(MOST_TONAL, 1 - noisy * (1 - front.usual[band])));
  }
  return share;
}

function meanOverFrames(front, features, width) {
  const { frames, mels } = front;
  const before = (width - 1) >> 1;
  const mean = new Float32Array(features.length);
  for (let frame = 0; frame < frames; frame += 1) {
    for (let step = -before; step < width - before; step += 1) {
      const row = Math.max(0, Math.min(frames - 1, frame + step)) * mels;
      for (let band = 0; band < mels; band += 1) mean[frame * mels + band] += features[row + band] / width;
    }
  }
  return mean;
}

// The onset in samples, from how the energy grows over the frames about it.
function onset(front, features) {
  const { frames, mels, window, hop, topDb } = front;
  const power = new Float64Array(frames);
  features.forEach((value, at) => {
    if (value > 0) power[Math.floor(at / mels)] += Math.exp(((value - 1) * topDb * LN_10) / 10);
  });
  const most = power.reduce((largest, value) => Math.max(largest, value), 0);
  const first = Math.max(0, power.findIndex((value) => value > LEAST_POWER * most));
  let largest = 0;
  for (let step = 0; step < Math.floor(window / hop) + 2; step += 1) largest = Math.max(largest, power[Math.min(first + step, frames - 1)]);
  const wanted = 1 - (largest > 0 ? power[first] / largest : 1);
  const total = front.hann.reduce((sum, value) => sum + value ** 2, 0);
  let [passed, behind] = [0, 0];
  for (; behind < window; behind += 1) {
    passed += front.hann[behind] ** 2 / total;
    if (passed >= wanted) break;
  }
  return Math.max(0, first * hop - window / 2 + behind);
}

// Faded ends, as of `vaelab.play.rendering.finished`, and the peak at -1 dBFS.
function finished(front, samples) {
  const last = samples.length - 1;
  const faded = samples.map((sample, at) => {
    const nearer = Math.min(1, (at + 1) / (FADE_S * front.rate), (last - at) / (front.window / 2));
    return sample * (0.5 - 0.5 * Math.cos(Math.PI * nearer));
  });
  const peak = faded.reduce((most, sample) => Math.max(most, Math.abs(sample)), 1e-9);
  return Float32Array.from(faded, (sample) => (sample * PEAK) / peak);
}
