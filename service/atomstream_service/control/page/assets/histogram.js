// How often values occur.

import { el, fill } from "./dom.js";
import { colour } from "./theme.js";

const BINS = 40;
const MARGIN = { left: 8, right: 8, top: 4 };
/** Em below the bars. */
const LABEL = 1.5;

/** A titled histogram; the median is marked and told. */
export class Histogram {
  #shown = [[], String];

  constructor(title) {
    this.title = title;
    this.heading = el("h3", {}, title);
    this.canvas = el("canvas", { className: "histogram", role: "img", aria: { label: title } });
    this.element = el("section", {}, this.heading, this.canvas);
    document.addEventListener("theme", () => this.#draw());
    new ResizeObserver(() => this.#draw()).observe(this.canvas);
  }

  /** values : numbers, of which those that are not finite are left out; text(value) : a value with its unit. */
  show(values, text) {
    this.#shown = [Float64Array.from(values.filter(Number.isFinite)).sort(), text];
    this.#draw();
  }

  #draw() {
    const [sorted, text] = this.#shown;
    const density = devicePixelRatio || 1;
    const [width, height] = [this.canvas.clientWidth, this.canvas.clientHeight];
    this.canvas.width = width * density;
    this.canvas.height = height * density;
    const context = this.canvas.getContext("2d");
    context.scale(density, density);
    const told = sorted.length ? `median ${text(sorted[sorted.length >> 1])} of ${sorted.length} atoms` : "of no atom";
    fill(this.heading, this.title, el("small", {}, ` ${told}`));
    if (!sorted.length || !width) return;
    const [low, high] = [sorted[Math.floor(0.005 * (sorted.length - 1))], sorted[Math.ceil(0.995 * (sorted.length - 1))]];
    const span = high - low || 1;
    const bins = new Array(BINS).fill(0);
    for (const value of sorted) if (value >= low && value <= high) bins[Math.min(BINS - 1, Math.floor((BINS * (value - low)) / span))]++;
    const top = Math.max(...bins);
    const inner = width - MARGIN.left - MARGIN.right;
    const font = parseFloat(getComputedStyle(this.canvas).fontSize);
    const tall = height - MARGIN.top - LABEL * font;
    context.fillStyle = colour("--accent");
    bins.forEach((count, k) => context.fillRect(MARGIN.left + (k * inner) / BINS, MARGIN.top + tall * (1 - count / top), inner / BINS - 1, (tall * count) / top));
    context.fillStyle = context.strokeStyle = colour("--soft");
    context.fillRect(MARGIN.left, MARGIN.top + tall, inner, 1);
    const x = MARGIN.left + (inner * (sorted[sorted.length >> 1] - low)) / span;
    context.setLineDash([3, 3]);
    context.beginPath();
    context.moveTo(x, MARGIN.top);
    context.lineTo(x, MARGIN.top + tall);
    context.stroke();
    context.font = `${font}px system-ui`;
    context.textBaseline = "bottom";
    for (const [value, at, align] of [[low, MARGIN.left, "left"], [high, width - MARGIN.right, "right"]]) {
      context.textAlign = align;
      context.fillText(text(value), at, height - 1);
    }
  }
}
