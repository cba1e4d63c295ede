// A strip chart over frames.

import { colour } from "./theme.js";
import { number } from "./units.js";
import uPlot from "./vendor/uPlot.js";

/** Em. */
const HEIGHT = 10;
const MOST_TICKS = 5;
const FACTORS = [1 / 512, 1 / 256, 1 / 128, 1 / 64, 1 / 32, 1 / 16, 0.125, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/** Every second, third, ... of some ticks, the one at 1 among them. */
function thinned(ticks) {
  const every = Math.ceil(ticks.length / MOST_TICKS);
  return ticks.filter((_, k) => (k - Math.max(0, ticks.indexOf(1))) % every === 0);
}

/** Factors around 1; `set(x, series)` draws series [{label, colour, width, values}], with colours by their names in the style sheet. */
export class StripChart {
  #plot = null;
  #series = [];

  constructor(element, unit) {
    Object.assign(this, { element, unit });
    document.addEventListener("theme", () => this.#plot?.redraw());
    new ResizeObserver(() => this.#plot?.setSize(this.#size)).observe(element);
  }

  get #em() {
    return parseFloat(getComputedStyle(this.element).fontSize);
  }

  get #size() {
    return { width: this.element.clientWidth, height: HEIGHT * this.#em };
  }

  set(x, series) {
    if (!this.element.clientWidth || !x.length) return;
    const same = series.length === this.#series.length && series.every((one, k) => one.label === this.#series[k].label && one.width === this.#series[k].width);
    if (!this.#plot || !same) this.#make(series);
    this.#plot.setData([x, ...series.map((one) => one.values)]);
  }

  clear() {
    this.#plot?.destroy();
    this.#plot = null;
  }

  #make(series) {
    this.clear();
    this.#series = series;
    const em = this.#em;
    const font = `${0.8 * em}px system-ui`;
    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font, labelFont: font, labelSize: 1.2 * em };
    const factors = { filter: (_, splits) => splits, splits: (_, __, low, high) => thinned(FACTORS.filter((one) => one >= low && one <= high)), values: (_, splits) => splits.map((one) => `${number(one, 2)}×`) };
    const options = {
      ...this.#size,
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: { distr: 3, log: 2, range: (_, low, high) => [Math.min(low ?? 1, 0.5), Math.max(high ?? 1, 4)] } },
      axes: [{ ...axis, size: 1.8 * em, label: "frame" }, { ...axis, size: 3.6 * em, label: this.unit, ...factors }],
      series: [{}, ...series.map(({ label, colour: name, width: wide }) => ({ label, stroke: () => colour(name), width: wide, spanGaps: false, points: { show: false } }))],
    };
    this.#plot = new uPlot(options, [[], ...series.map(() => [])], this.element);
  }
}
