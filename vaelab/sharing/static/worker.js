// The decoder's own thread: it is told the weights once, and then a latent for each sound.

let [front, decoder] = [null, null];

self.onmessage = ({ data }) => {
  if (data.table) {
    const { arrays } = unpacked(data.table, data.buffer);
    front = new FrontEnd(data.front, arrays);
    decoder = new Decoder({ ...data.about, frames: front.frames, mels: front.mels }, arrays);
    return;
  }
  const begin = performance.now();
  const features = decoder.features(data.z);
  const samples = played(front, features);
  self.postMessage({ turn: data.turn, samples, features, ms: performance.now() - begin }, [samples.buffer, features.buffer]);
};
