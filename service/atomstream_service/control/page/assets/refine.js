// Refine: learn from frames that were just seen, in the background, and compare what comes of it.

import { painted, RAMPS } from "./colours.js";
import { el, fill, renew, toast } from "./dom.js";
import { ago, day, percent } from "./units.js";

const THUMB_PX = 96;
const MOST_THUMBS = 48;
const STAGES = { labels: "labelling the frames", images: "cutting out images", train: "training", pack: "packing", done: "done", failed: "failed", cancelled: "called off", interrupted: "interrupted" };
const OVER = new Set(["done", "failed", "cancelled", "interrupted"]);

const given = (input) => (input.value ? Number(input.value) : null);

/** live : the live view, on which regions are painted; look(view, frame) : one frame's pictures. */
export class Refine {
  #chosen = new Set();
  #seqs = [];
  #regions = [];

  constructor(api, live, look, open) {
    Object.assign(this, { api, live, look, open });
    this.from = el("select", { aria: { label: "Frames to learn from" }, onchange: () => this.#source() }, el("option", { value: "ring" }, "The last frames"));
    this.frames = el("div", { className: "filmstrip" });
    this.told = el("span", { className: "soft" });
    this.paint = el("button", { aria: { pressed: "false" }, onclick: () => this.#togglePainting() }, "Paint regions to leave out");
    this.clear = el("button", { disabled: true, onclick: () => this.#setRegions([]) }, "Forget regions");
    this.steps = el("input", { type: "number", min: 1, max: 20000, placeholder: "recipe's", aria: { label: "Gradient steps" } });
    this.count = el("input", { type: "number", min: 1, max: 64, placeholder: "recipe's", aria: { label: "Members of the new ensemble" } });
    this.thorough = el("select", { aria: { label: "How" } }, el("option", { value: "live-refine" }, "quick, some minutes"), el("option", { value: "refine" }, "thorough, an hour or more"));
    this.beside = el("input", { type: "checkbox", checked: true });
    this.reason = el("input", { type: "text", maxLength: 1000, placeholder: "Reason, for the journal (optional)", aria: { label: "Reason, for the journal" } });
    this.begin = el("button", { className: "primary", onclick: () => this.start() }, "Start");
    this.jobs = el("ul", { className: "jobs" });
    this.element = el(
      "div",
      { className: "refine" },
      el("p", { className: "hint" }, "A new ensemble learns from what the members in use found in these frames. The live one goes on meanwhile, and nothing changes until you say so."),
      el(
        "div",
        { acts: "operator" },
        el("div", { className: "tools" }, el("label", {}, "From ", this.from), el("button", { onclick: () => this.opened() }, "Refresh")),
        el("div", { className: "told" }, this.told),
        this.frames,
        el("div", { className: "tools" }, this.paint, this.clear),
        el("div", { className: "tools" }, el("label", {}, "How ", this.thorough), el("label", {}, "Steps ", this.steps), el("label", {}, "Members ", this.count), el("label", {}, this.beside, " then run it beside the live one")),
        el("div", { className: "tools" }, this.reason, this.begin),
      ),
      el("h2", { className: "section" }, "Refinements"),
      this.jobs,
    );
  }

  async opened() {
    try {
      const [{ recordings }, { seqs }] = await Promise.all([this.api.get("/v1/recordings"), this.api.get("/v1/ring")]);
      const names = ["ring", ...recordings.map((one) => one.name)];
      const before = names.includes(this.from.value) ? this.from.value : "ring";
      fill(this.from, ...names.map((name) => el("option", { value: name, selected: name === before }, name === "ring" ? "The last frames" : `Recording ${name}`)));
      this.#seqs = seqs;
      this.#source();
    } catch (problem) {
      fill(this.told, problem.message);
    }
  }

  closed() {
    this.#setPainting(false);
  }

  show({ refinements }) {
    if (!refinements.length) renew(this.jobs, el("li", { className: "soft" }, "None yet."));
    else renew(this.jobs, ...[...refinements].reverse().map((job) => this.#job(job)));
  }

  /** Regions are drawn over the frame while they are painted. */
  overlay(context, viewport) {
    if (!this.#regions.length) return;
    context.fillStyle = "#d55e0066";
    for (const [top, bottom, left, right] of this.#regions) {
      const [x, y] = viewport.toScreen(top - 0.5, left - 0.5);
      context.fillRect(x, y, (right - left) * viewport.scale, (bottom - top) * viewport.scale);
    }
  }

  async start() {
    const recording = this.from.value === "ring" ? null : this.from.value;
    const chosen = this.#seqs.filter((one) => this.#chosen.has(one.join("/")));
    const wanted = {
      recording,
      ring: recording ? undefined : { frames: (chosen.length ? chosen : this.#seqs) },
      leave_out: this.#regions,
      parameters: { recipe: this.thorough.value, steps: given(this.steps), count: given(this.count) },
      then: this.beside.checked ? "shadow" : "register",
      reason: this.reason.value,
    };
    this.begin.disabled = true;
    fill(this.begin, "Starting …");
    try {
      const job = await this.api.send("POST", "/v1/refinements", wanted);
      toast(`Refinement ${job.id} has begun`, { action: { label: "Call it off", act: () => this.end(job.id) } });
      this.#setPainting(false);
    } catch (problem) {
      toast(`Not started: ${problem.message}`, { kind: "bad" });
    }
    this.begin.disabled = false;
    fill(this.begin, "Start");
  }

  async end(id) {
    await this.api.send("DELETE", `/v1/refinements/${id}`).catch((problem) => toast(problem.message, { kind: "bad" }));
  }

  async #source() {
    const isRing = this.from.value === "ring";
    this.frames.hidden = !isRing;
    if (!isRing) {
      fill(this.told, "all frames of the recording");
      return;
    }
    const isMarked = (one) => this.#chosen.has(one.join("/"));
    this.#chosen = new Set(this.#seqs.filter(isMarked).map((one) => one.join("/")));
    const last = this.#seqs.filter((one, k) => isMarked(one) || k >= this.#seqs.length - MOST_THUMBS);
    fill(this.frames, ...last.map((one) => this.#thumb(one)));
    this.#tell();
    for (const one of last) await this.#fillThumb(one);
  }

  #thumb([session, seq]) {
    const key = `${session}/${seq}`;
    const choose = (event) => {
      if (this.#chosen.has(key)) this.#chosen.delete(key);
      else this.#chosen.add(key);
      event.currentTarget.setAttribute("aria-pressed", String(this.#chosen.has(key)));
      this.#tell();
    };
    return el("button", { data: { frame: key }, aria: { pressed: String(this.#chosen.has(key)), label: `Frame ${seq}` }, onclick: choose }, el("canvas", { width: 8, height: 8 }), el("small", {}, String(seq)));
  }

  async #fillThumb([session, seq]) {
    const frame = await this.look({ layers: [], thumbs: ["frame"], thumb_px: THUMB_PX }, [session, seq]);
    const canvas = this.frames.querySelector(`[data-frame="${CSS.escape(`${session}/${seq}`)}"] canvas`);
    if (frame?.pictures[0] && canvas) painted(frame.pictures[0], RAMPS.frame, canvas);
  }

  #tell() {
    fill(this.told, this.#chosen.size ? `${this.#chosen.size} frames are marked` : `all ${this.#seqs.length} frames; mark some to learn from these alone`);
  }

  #job({ id, reason, state, share, stage, eta_s: eta, error, ensemble, refused, not_shadowed: notShadowed, created, actor }) {
    const isOver = OVER.has(state);
    const became = ensemble ? `${ensemble.name} ${ensemble.version} is registered` : refused ? `its ensemble was refused: ${refused}` : error ?? "";
    return el(
      "li",
      { data: { job: id, state, key: id } },
      el("div", { className: "tools" }, el("b", { title: id }, reason || "Refinement"), el("span", {}, isOver ? STAGES[state] ?? state : STAGES[stage] ?? state), el("span", { className: "space" }), !isOver && eta !== null && el("small", {}, `${ago(eta)} to go`), ensemble && el("button", { onclick: () => this.open("ensembles") }, "Compare"), el("button", { acts: "operator", onclick: () => this.end(id) }, isOver ? "Forget" : "Call it off")),
      el("progress", { max: 1, value: share, aria: { label: `Progress of ${id}` } }),
      el("small", {}, [percent(share), became, notShadowed ? `not beside the live one: ${notShadowed}` : "", `begun ${day(created)} by ${actor}`].filter(Boolean).join(" · ")),
    );
  }

  #togglePainting() {
    this.#setPainting(this.paint.getAttribute("aria-pressed") !== "true");
  }

  /** While regions are painted, dragging on the live view marks a rectangle. */
  #setPainting(on) {
    this.paint.setAttribute("aria-pressed", String(on));
    fill(this.paint, on ? "Drag rectangles over the frame; click here when done" : "Paint regions to leave out");
    this.live.viewport.setMarking(on ? (rectangle) => this.#setRegions([...this.#regions, rectangle]) : null);
  }

  #setRegions(regions) {
    this.#regions = regions;
    fill(this.clear, regions.length ? `Forget ${regions.length} region${regions.length > 1 ? "s" : ""}` : "Forget regions");
    this.clear.disabled = !regions.length;
    this.live.draw();
  }
}
