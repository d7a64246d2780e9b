// Latents to features: the dense layers and the product with the axes of `vaelab.networks`.

class Decoder {
  // `about` has depth, logits, latent, frames and mels; arrays are those of `sharing.decoder.arrays`.
  constructor(about, arrays) {
    Object.assign(this, about, { arrays });
  }

  features(z) {
    const { arrays, frames, mels } = this;
    const output = Float64Array.from(arrays.centre);
    this.coordinates(z).forEach((coordinate, component) => {
      const size = coordinate * arrays.spread[component];
      for (let frame = 0; frame < frames; frame += 1) {
        const scale = size * arrays.scales[component * frames + frame];
        const from = (component * frames + frame) * mels;
        for (let band = 0; band < mels; band += 1) output[frame * mels + band] += scale * arrays.axes[from + band];
      }
    });
    if (this.logits) return Float32Array.from(output, (value) => 1 / (1 + Math.exp(-value)));
    const excess = Math.max(0, output.reduce((most, value) => Math.max(most, value), 0) - 1); // as `Model.decode` has headroom
    return Float32Array.from(output, (value) => Math.max(0, value - excess));
  }

  coordinates(z) {
    let hidden = z;
    for (let layer = 0; layer < this.depth; layer += 1) {
      hidden = this.dense(hidden, `layer${layer}`).map((value) => (value > 0 ? value : Math.expm1(value)));
    }
    const learnt = this.dense(hidden, "learnt");
    return this.dense(z, "straight").map((value, at) => value + learnt[at]);
  }

  dense(inputs, name) {
    const [kernel, bias] = [this.arrays[name], this.arrays[`${name}_bias`]];
    const width = kernel.length / inputs.length;
    const outputs = bias ? Float64Array.from(bias) : new Float64Array(width);
    inputs.forEach((value, row) => {
      for (let at = 0; at < width; at += 1) outputs[at] += value * kernel[row * width + at];
    });
    return outputs;
  }
}
