// The discrete Fourier transform of a power of two, radix 2, in place; and of two real signals at a time.

class Fft {
  constructor(size) {
    if (size < 2 || size & (size - 1)) throw new Error(`fft: expected a power of two, found ${size}`);
    this.size = size;
    this.cos = Float64Array.from({ length: size / 2 }, (_, at) => Math.cos((2 * Math.PI * at) / size));
    this.sin = Float64Array.from({ length: size / 2 }, (_, at) => Math.sin((2 * Math.PI * at) / size));
    this.order = new Uint32Array(size);
    for (let at = 1; at < size; at += 1) this.order[at] = (this.order[at >> 1] >> 1) | (at & 1 ? size >> 1 : 0);
  }

  // X[k] = sum_n x[n] exp(-2 pi i k n / size). With re and im exchanged it is the inverse, times the size.
  transform(re, im) {
    const { size, order } = this;
    for (let at = 0; at < size; at += 1) {
      const other = order[at];
      if (other <= at) continue;
      const x = re[at];
      const y = im[at];
      re[at] = re[other];
      im[at] = im[other];
      re[other] = x;
      im[other] = y;
    }
    this.begin(re, im);
    for (let half = 2; half < size; half *= 2) this.join(re, im, half);
  }

  // Pairs of numbers: their sum and difference.
  begin(re, im) {
    for (let even = 0; even < this.size; even += 2) {
      const x = re[even + 1];
      const y = im[even + 1];
      re[even + 1] = re[even] - x;
      im[even + 1] = im[even] - y;
      re[even] += x;
      im[even] += y;
    }
  }

  // Each pair of transforms of `half` numbers becomes one of twice as many.
  join(re, im, half) {
    const { size, cos, sin } = this;
    const step = size / (2 * half);
    for (let start = 0; start < size; start += 2 * half) {
      for (let at = 0; at < half; at += 1) {
        const even = start + at;
        const odd = even + half;
        const c = cos[at * step];
        const s = sin[at * step];
        const x = re[odd] * c + im[odd] * s;
        const y = im[odd] * c - re[odd] * s;
        re[odd] = re[even] - x;
        im[odd] = im[even] - y;
        re[even] += x;
        im[even] += y;
      }
    }
  }
}
