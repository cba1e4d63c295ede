// Where on the frame one looks: centre and scale, moved by mouse, touch pad and keys.

const LARGEST_SCALE = 64;
const WHEEL = 0.0015;
const CLICK_PX = 4;
/** Of the view that a whole frame fills, so that atoms at its border are to be seen. */
const FILLED = 0.97;

/** Calls `moved` after every change, `clicked(y, x)` in pixels of the frame. Pixel centres are at whole numbers. */
export class Viewport {
  constructor(element, { moved, clicked }) {
    this.element = element;
    this.moved = moved;
    this.clicked = clicked;
    this.frame = [1, 1];
    this.width = 1;
    this.height = 1;
    this.fitted = true;
    this.centre = [0, 0];
    this.scale = 1;
    this.marked = null;
    this.#listen();
  }

  /** A frame of another size is shown whole. */
  setFrame([rows, columns]) {
    if (rows === this.frame[0] && columns === this.frame[1]) return;
    this.frame = [rows, columns];
    this.fit();
  }

  resize(width, height) {
    [this.width, this.height] = [width, height];
    if (this.fitted) this.fit();
    else this.moved();
  }

  /** The scale at which all of the frame is to be seen. */
  get #whole() {
    const [rows, columns] = this.frame;
    return FILLED * Math.min(this.width / columns, this.height / rows);
  }

  fit() {
    const [rows, columns] = this.frame;
    this.fitted = true;
    this.scale = this.#whole;
    this.centre = [(rows - 1) / 2, (columns - 1) / 2];
    this.moved();
  }

  /** Have dragging mark rectangles, [first row, one past the last, first column, one past the last], instead of moving; null for moving again. */
  setMarking(marked) {
    this.marked = marked;
    this.element.classList.toggle("marking", Boolean(marked));
  }

  #rectangle(from, to) {
    const corners = [this.toFrame(...from), this.toFrame(...to)];
    const axis = (k) => {
      const [low, high] = corners.map((one) => one[k]).sort((a, b) => a - b);
      const first = Math.min(Math.max(Math.round(low), 0), this.frame[k] - 1);
      return [first, Math.min(Math.max(Math.round(high) + 1, first + 1), this.frame[k])];
    };
    return [...axis(0), ...axis(1)];
  }

  /** Screen position (x, y in CSS pixels) of a position on the frame. */
  toScreen(y, x) {
    return [this.width / 2 + (x - this.centre[1]) * this.scale, this.height / 2 + (y - this.centre[0]) * this.scale];
  }

  toFrame(screenX, screenY) {
    return [this.centre[0] + (screenY - this.height / 2) / this.scale, this.centre[1] + (screenX - this.width / 2) / this.scale];
  }

  /** Rows and columns that are to be seen: [top, left, bottom, right], whole pixels inside the frame. */
  get region() {
    const [top, left] = this.toFrame(0, 0);
    const [bottom, right] = this.toFrame(this.width, this.height);
    const [rows, columns] = this.frame;
    const inside = (value, most) => Math.min(Math.max(value, 0), most);
    return [inside(Math.floor(top), rows - 1), inside(Math.floor(left), columns - 1), inside(Math.ceil(bottom) + 1, rows), inside(Math.ceil(right) + 1, columns)];
  }

  zoom(factor, screenX = this.width / 2, screenY = this.height / 2) {
    const [y, x] = this.toFrame(screenX, screenY);
    const whole = this.#whole;
    const scale = Math.min(Math.max(this.scale * factor, whole), LARGEST_SCALE);
    if (scale <= whole) return this.fit();
    this.fitted = false;
    this.scale = scale;
    this.centre = [y - (screenY - this.height / 2) / scale, x - (screenX - this.width / 2) / scale];
    this.#keepInside();
  }

  pan(screenX, screenY) {
    if (this.fitted) return;
    this.centre = [this.centre[0] - screenY / this.scale, this.centre[1] - screenX / this.scale];
    this.#keepInside();
  }

  #keepInside() {
    this.centre = this.centre.map((one, axis) => Math.min(Math.max(one, 0), this.frame[axis] - 1));
    this.moved();
  }

  #listen() {
    const element = this.element;
    let last = null;
    let first = null;
    let travelled = 0;
    element.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoom(Math.exp(-event.deltaY * (event.deltaMode ? 30 : 1) * WHEEL), event.offsetX, event.offsetY);
    }, { passive: false });
    element.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      element.setPointerCapture(event.pointerId);
      first = last = [event.offsetX, event.offsetY];
      travelled = 0;
    });
    element.addEventListener("pointermove", (event) => {
      if (!last) return;
      const [dx, dy] = [event.offsetX - last[0], event.offsetY - last[1]];
      travelled += Math.hypot(dx, dy);
      if (travelled > CLICK_PX && !this.marked) this.pan(dx, dy);
      last = [event.offsetX, event.offsetY];
    });
    element.addEventListener("pointerup", (event) => {
      if (last && travelled > CLICK_PX && this.marked) this.marked(this.#rectangle(first, [event.offsetX, event.offsetY]));
      else if (last && travelled <= CLICK_PX) this.clicked(...this.toFrame(event.offsetX, event.offsetY));
      last = null;
    });
    element.addEventListener("pointercancel", () => (last = null));
    element.addEventListener("dblclick", () => this.fit());
    element.addEventListener("keydown", (event) => {
      const step = 40;
      const moves = { ArrowUp: [0, step], ArrowDown: [0, -step], ArrowLeft: [step, 0], ArrowRight: [-step, 0] };
      if (!(event.key in moves) || this.fitted) return;
      this.pan(...moves[event.key]);
      event.preventDefault();
    });
  }

  /** What a key does, wherever the focus is; whether it does anything. */
  press(key) {
    if (key === "+" || key === "=") this.zoom(1.4);
    else if (key === "-") this.zoom(1 / 1.4);
    else if (key === "0") this.fit();
    else return false;
    return true;
  }
}
