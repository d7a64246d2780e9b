// Typed arrays out of the page's own bytes, by the table of `sharing.decoder.packed`.

const KINDS = {
  float32: Float32Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  uint32: Uint32Array,
  int32: Int32Array,
};

function half(bits) {
  const [sign, exponent, part] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  return exponent ? sign * (1 + part / 1024) * 2 ** (exponent - 15) : sign * (part / 1024) * 2 ** -14;
}

function bytesOf(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// { name: typed array }, and `shapes` with the shape of each; half precision becomes float32.
function unpacked(table, buffer) {
  const [arrays, shapes] = [{}, {}];
  for (const [name, [kind, first, shape]] of Object.entries(table)) {
    const array = new KINDS[kind](buffer, first, shape.reduce((count, side) => count * side, 1));
    arrays[name] = kind === "float16" ? Float32Array.from(array, half) : array;
    shapes[name] = shape;
  }
  return { arrays, shapes };
}
