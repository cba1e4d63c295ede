// One atom closely, and what all atoms of the frame are like.

import { columnOf, neighbourDistances, rowOf } from "./atoms.js";
import { classColour, painted, rampOf } from "./colours.js";
import { el, fill } from "./dom.js";
import { Histogram } from "./histogram.js";
import { CLASS, ID, P, P_STD, SIGMA_X, SIGMA_Y, VOTES, X, Y } from "./protocol.js";
import { nm, number, pixelNm, pm, px } from "./units.js";
import { layer as layerName } from "./words.js";

const PATCH_PX = 24;
/** Brightness is measured for the page alone, on the machine that answers frames. */
const EVERY_MS = 1000;

const counts = (value) => `${number(value)} counts`;

/** look(view, frame) : a frame's layers, once; current() : the frame that is shown. */
export class Inspector {
  #timer = null;
  #choice = 0;

  constructor(look, current) {
    Object.assign(this, { look, current });
    this.title = el("h2", {}, "No atom chosen");
    this.facts = el("dl", { className: "facts" });
    this.patches = el("div", { className: "patches" });
    this.distances = new Histogram("Distance to the nearest neighbour");
    this.brightness = new Histogram("Brightness above the surroundings");
    this.strengths = new Histogram("Probability at the centre");
    this.unsure = new Histogram("Position, standard deviation over members");
    this.element = el(
      "div",
      { className: "inspector" },
      this.title,
      el("p", { className: "hint" }, "Click an atom in the live view."),
      this.facts,
      this.patches,
      [this.distances, this.brightness, this.strengths, this.unsure].map((one) => one.element),
    );
  }

  opened() {
    this.#measure();
    this.#timer = setInterval(() => this.#measure(), EVERY_MS);
  }

  closed() {
    clearInterval(this.#timer);
  }

  /** Show an atom of a frame; number -1 for none. */
  async choose(frame, k) {
    const choice = ++this.#choice;
    this.element.classList.toggle("chosen", k >= 0);
    this.patches.classList.toggle("coming", k >= 0);
    if (k < 0) {
      fill(this.title, "No atom chosen");
      fill(this.facts);
      fill(this.patches);
      return;
    }
    const row = rowOf(frame.atoms, k);
    this.#tell(frame, k);
    const [y, x] = [Math.round(row[Y]), Math.round(row[X])];
    const region = [y - PATCH_PX, x - PATCH_PX, y + PATCH_PX + 1, x + PATCH_PX + 1];
    const layers = ["frame", "mean", "std", ...frame.report.members_used.map((id) => `member:${id}`)];
    const shown = await this.look({ layers, region, longest_px: 256, seen: true, brightness: true }, [frame.report.session, frame.report.seq]);
    if (choice !== this.#choice) return;
    this.patches.classList.remove("coming");
    if (!shown) return void fill(this.patches, el("p", { className: "soft" }, "The surroundings can't be shown: this frame is no longer kept, or the service does not answer."));
    if (!shown.again) this.#tell(frame, k, shown.brightness[k]);
    const members = Object.keys(shown.votes);
    const caption = (name) => {
      const member = members.indexOf(name.replace("member:", ""));
      if (shown.again || member < 0) return layerName(name);
      return `${layerName(name)} ${shown.seen[(member * shown.seen.length) / members.length + k] ? "sees it" : "does not see it"}`;
    };
    fill(this.patches, ...shown.pictures.map((one) => el("figure", {}, painted(one, rampOf(one.name), el("canvas")), el("figcaption", {}, caption(one.name)))));
  }

  #tell({ report, atoms }, k, brightness = NaN) {
    const row = rowOf(atoms, k);
    const size = pixelNm(report);
    const name = report.classes[row[CLASS]] ?? `class ${row[CLASS]}`;
    fill(this.title, el("i", { className: "ring", style: `border-color:${classColour(row[CLASS])}` }), ` ${name}`, el("small", {}, report.tracked ? ` atom ${row[ID]}` : ` number ${row[ID]} of frame ${report.seq}`));
    const sigma = (value, axis) => (size ? pm(1000 * value * size[axis]) : px(value));
    const facts = [
      ["position", size ? `${nm(row[Y] * size[0])} down, ${nm(row[X] * size[1])} right` : `${px(row[Y])} down, ${px(row[X])} right`],
      ["probability", `${number(row[P])} ± ${number(row[P_STD], 2)}`],
      ["seen by", `${row[VOTES]} of ${report.members_used.length} members`],
      ["position, std over members", Number.isFinite(row[SIGMA_Y]) ? `${sigma(row[SIGMA_Y], 0)} down, ${sigma(row[SIGMA_X], 1)} right` : "unknown with fewer than two"],
      ["brightness above the surroundings", counts(brightness)],
    ];
    fill(this.facts, ...facts.flatMap(([label, value]) => [el("dt", {}, label), el("dd", {}, value)]));
  }

  async #measure() {
    const current = this.current();
    if (!current) return;
    const { session, seq } = current.report;
    const frame = (await this.look({ layers: [], brightness: true }, [session, seq])) ?? current;
    const { atoms } = frame;
    const size = pixelNm(frame.report);
    const [down, right] = size ?? [1, 1];
    const across = columnOf(atoms, SIGMA_X);
    const sigmas = columnOf(atoms, SIGMA_Y).map((one, k) => Math.hypot(one * down, across[k] * right));
    this.distances.show([...neighbourDistances(atoms, size ?? undefined)], size ? nm : px);
    this.brightness.show([...(frame.brightness ?? [])], counts);
    this.strengths.show(columnOf(atoms, P), (value) => number(value, 2));
    this.unsure.show(sigmas.map((one) => (size ? 1000 * one : one)), size ? pm : px);
  }
}
