// What a pointer does on a map: hover, click, pan, zoom, lasso. It hands on places in CSS pixels from the stage's corner.

const STILL = 4; // CSS pixels: a pointer that moved less has clicked

export class Gestures {
  constructor(stage, acts) {
    // `acts`: hover(x, y) or hover(), click(x, y), pan(dx, dy), zoom(by, x, y), lassoing(event), which
    // tells whether a drag is a lasso, lasso(places, done), and grab(x, y), which gives what a drag from there moves,
    // {move(x, y, event), drop(x, y, event)}, or nothing: then it moves the map.
    Object.assign(this, { stage, acts, pointer: null, lasso: null, grip: null });
    stage.addEventListener("pointerdown", (event) => this.down(event));
    stage.addEventListener("pointermove", (event) => this.move(event));
    stage.addEventListener("pointerup", (event) => this.up(event));
    stage.addEventListener("pointercancel", () => this.cancel());
    stage.addEventListener("pointerleave", () => acts.hover());
    stage.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  place(event) {
    const box = this.stage.getBoundingClientRect();
    return [event.clientX - box.left - this.stage.clientLeft, event.clientY - box.top - this.stage.clientTop];
  }

  wheel(event) {
    event.preventDefault();
    this.acts.zoom(Math.exp(-event.deltaY / 400), ...this.place(event));
  }

  down(event) {
    if (event.button !== 0) return;
    this.stage.setPointerCapture(event.pointerId);
    this.pointer = { x: event.clientX, y: event.clientY, lastX: event.clientX, lastY: event.clientY, moved: false };
    this.lasso = this.acts.lassoing(event) ? [this.place(event)] : null;
    this.grip = this.lasso ? null : this.acts.grab(...this.place(event));
  }

  move(event) {
    const { pointer } = this;
    if (!pointer) return this.acts.hover(...this.place(event));
    pointer.moved ||= Math.hypot(event.clientX - pointer.x, event.clientY - pointer.y) >= STILL;
    if (!pointer.moved) return;
    this.acts.hover();
    if (this.lasso) {
      this.lasso.push(this.place(event));
      this.acts.lasso(this.lasso, false);
    } else if (this.grip) {
      this.grip.move(...this.place(event), event);
    } else {
      this.acts.pan(event.clientX - pointer.lastX, event.clientY - pointer.lastY);
    }
    Object.assign(pointer, { lastX: event.clientX, lastY: event.clientY });
  }

  up(event) {
    const { pointer, lasso, grip } = this;
    this.pointer = this.lasso = this.grip = null;
    if (!pointer) return;
    if (grip && pointer.moved) grip.drop(...this.place(event), event);
    if (lasso) this.acts.lasso(pointer.moved ? lasso : [], pointer.moved);
    if (!pointer.moved) this.acts.click(...this.place(event));
  }

  cancel() {
    if (this.lasso) this.acts.lasso([], false);
    this.grip?.drop();
    this.pointer = this.lasso = this.grip = null;
  }
}
