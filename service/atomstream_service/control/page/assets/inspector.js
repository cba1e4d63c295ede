// One atom closely, and what all atoms of the frame are like.

import { columnOf, neighbourDistances, rowOf } from "./atoms.js";
import { classColour, painted, rampOf } from "./colours.js";
import { el, fill } from "./dom.js";
import { drawHistogram } from "./histogram.js";
import { CLASS, ID, P, P_STD, SIGMA_X, SIGMA_Y, VOTES, X, Y } from "./protocol.js";
import { colour } from "./theme.js";
import { nm, number, pixelNm, pm, px } from "./units.js";
import { layer as layerName } from "./words.js";

const PATCH_PX = 24;
const EVERY_MS = 500;

/** look(view, frame) : a frame's layers, once. */
export class Inspector {
  #frame = null;
  #drawn = 0;
  #drawAgain = () => this.#drawHistograms(true);

  constructor(look) {
    this.look = look;
    this.title = el("h2", {}, "No atom chosen");
    this.facts = el("dl", { className: "facts" });
    this.patches = el("div", { className: "patches" });
    const histogram = (title) => ({ title: el("h3", {}, title), canvas: el("canvas", { className: "histogram", role: "img", aria: { label: title } }) });
    this.distances = histogram("Distance to the nearest neighbour");
    this.strengths = histogram("Probability at the centre");
    this.unsure = histogram("Position: standard deviation over members");
    this.element = el(
      "div",
      { className: "inspector" },
      this.title,
      el("p", { className: "hint" }, "Click an atom in the live view."),
      this.facts,
      this.patches,
      [this.distances, this.strengths, this.unsure].map(({ title, canvas }) => [title, canvas]),
    );
  }

  opened() {
    this.#drawHistograms(true);
    document.addEventListener("theme", this.#drawAgain);
  }

  closed() {
    document.removeEventListener("theme", this.#drawAgain);
  }

  frame(frame) {
    this.#frame = frame;
    if (!this.element.hidden) this.#drawHistograms(false);
  }

  /** Show an atom of a frame; number -1 for none. */
  async choose(frame, k) {
    this.element.classList.toggle("chosen", k >= 0);
    if (k < 0) {
      fill(this.title, "No atom chosen");
      fill(this.facts);
      fill(this.patches);
      return;
    }
    const row = rowOf(frame.atoms, k);
    this.#tell(frame.report, row);
    await this.#showPatches(frame, k, row);
  }

  #tell(report, row) {
    const size = pixelNm(report);
    const name = report.classes[row[CLASS]] ?? `class ${row[CLASS]}`;
    fill(this.title, el("i", { className: "ring", style: `border-color:${classColour(row[CLASS])}` }), ` ${name}`, el("small", {}, report.tracked ? ` atom ${row[ID]}` : ` number ${row[ID]} of frame ${report.seq}`));
    const sigma = (value, axis) => (size ? pm(1000 * value * size[axis]) : px(value));
    const facts = [
      ["position", size ? `${nm(row[Y] * size[0])} down, ${nm(row[X] * size[1])} right` : `${px(row[Y])} down, ${px(row[X])} right`],
      ["probability", `${number(row[P])} ± ${number(row[P_STD])}`],
      ["seen by", `${row[VOTES]} of ${report.members_used.length} members`],
      ["position, std over members", Number.isFinite(row[SIGMA_Y]) ? `${sigma(row[SIGMA_Y], 0)} down, ${sigma(row[SIGMA_X], 1)} right` : "unknown with fewer than two"],
    ];
    fill(this.facts, ...facts.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
  }

  async #showPatches(frame, k, row) {
    const { report } = frame;
    const [y, x] = [Math.round(row[Y]), Math.round(row[X])];
    const region = [y - PATCH_PX, x - PATCH_PX, y + PATCH_PX + 1, x + PATCH_PX + 1];
    const layers = ["frame", "mean", "std", ...report.members_used.map((id) => `member:${id}`)];
    const shown = await this.look({ layers, region, longest_px: 256, seen: true }, [report.session, report.seq]);
    if (!shown) return;
    const members = Object.keys(shown.votes);
    const caption = (name) => {
      const member = members.indexOf(name.replace("member:", ""));
      const same = !shown.again && shown.seen && member >= 0;
      return same ? `${layerName(name)} ${shown.seen[(member * shown.seen.length) / members.length + k] ? "sees it" : "does not see it"}` : layerName(name);
    };
    fill(this.patches, ...shown.pictures.map((one) => el("figure", {}, painted(one, rampOf(one.name), el("canvas")), el("figcaption", {}, caption(one.name)))));
  }

  #drawHistograms(now) {
    if (!this.#frame || (!now && performance.now() - this.#drawn < EVERY_MS)) return;
    this.#drawn = performance.now();
    const { atoms, report } = this.#frame;
    const size = pixelNm(report);
    const mean = size ? Math.sqrt(size[0] * size[1]) : null;
    const accent = colour("--accent");
    const distances = [...neighbourDistances(atoms)].filter(Number.isFinite);
    drawHistogram(this.distances.canvas, mean ? distances.map((one) => one * mean) : distances, mean ? nm : px, accent);
    drawHistogram(this.strengths.canvas, columnOf(atoms, P).filter(Number.isFinite), (value) => number(value, 2), accent);
    const across = columnOf(atoms, SIGMA_X);
    const sigmas = columnOf(atoms, SIGMA_Y).map((down, k) => Math.hypot(down, across[k])).filter(Number.isFinite);
    drawHistogram(this.unsure.canvas, mean ? sigmas.map((one) => 1000 * one * mean) : sigmas, mean ? pm : px, accent);
  }
}
