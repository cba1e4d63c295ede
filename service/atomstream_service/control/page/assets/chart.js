// A strip chart over frames.

import { colour } from "./theme.js";
import uPlot from "./vendor/uPlot.js";

const HEIGHT = 132;

/** `set(x, series)` draws series [{label, colour, width, values}], with colours by their names in the style sheet; `logarithmic` is for factors around 1. */
export class StripChart {
  #plot = null;
  #series = [];

  constructor(element, { unit, logarithmic = false }) {
    Object.assign(this, { element, unit, logarithmic });
    document.addEventListener("theme", () => this.#plot?.redraw());
    new ResizeObserver(() => this.#plot?.setSize({ width: element.clientWidth, height: HEIGHT })).observe(element);
  }

  set(x, series) {
    const width = this.element.clientWidth;
    if (!width || !x.length) return;
    const same = series.length === this.#series.length && series.every((one, k) => one.label === this.#series[k].label && one.width === this.#series[k].width);
    if (!this.#plot || !same) this.#make(width, series);
    this.#plot.setData([x, ...series.map((one) => one.values)]);
  }

  #make(width, series) {
    this.#plot?.destroy();
    this.#series = series;
    const axis = { stroke: () => colour("--soft"), grid: { stroke: () => colour("--line"), width: 1 }, ticks: { show: false }, font: "11px system-ui" };
    const options = {
      width,
      height: HEIGHT,
      title: "",
      legend: { show: false },
      cursor: { show: false },
      scales: { x: { time: false }, y: this.logarithmic ? { distr: 3, log: 2, range: (_, low, high) => [Math.min(low ?? 1, 0.8), Math.max(high ?? 1, 2)] } : {} },
      axes: [{ ...axis, size: 26 }, { ...axis, size: 48, label: this.unit, labelSize: 16, labelFont: "11px system-ui" }],
      series: [{}, ...series.map(({ label, colour: name, width: wide }) => ({ label, stroke: () => colour(name), width: wide, spanGaps: false, points: { show: false } }))],
    };
    this.#plot = new uPlot(options, [[], ...series.map(() => [])], this.element);
  }
}
