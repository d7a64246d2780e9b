// Pads played by MIDI, where the browser has Web MIDI and its user allows it.

const FIRST_NOTE = 36; // as on drum machines
const NOTE_ON = 0x90;

export class Midi {
  constructor(play) {
    // `play(number, loudness)`: a pad from 0, and how hard it was hit, 0 to 1.
    this.play = play;
    this.heard = (event) => this.message(event.data);
  }

  static get there() {
    return Boolean(navigator.requestMIDIAccess);
  }

  async connect() {
    // Listens to every input, also those plugged in later; tells how many there are now.
    this.access = await navigator.requestMIDIAccess();
    this.access.onstatechange = () => this.attach();
    return this.attach();
  }

  attach() {
    for (const input of this.access.inputs.values()) input.onmidimessage = this.heard;
    return this.access.inputs.size;
  }

  message([status, note, velocity]) {
    if ((status & 0xf0) === NOTE_ON && velocity) this.play(note - FIRST_NOTE, velocity / 127);
  }

  close() {
    if (!this.access) return;
    this.access.onstatechange = null;
    for (const input of this.access.inputs.values()) input.onmidimessage = null;
  }
}
