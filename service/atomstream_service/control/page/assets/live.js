// The live view: one layer of the frame, its atoms, a scale bar and a colour bar.

import { countOf, drawAtoms, nearestTo, rowOf } from "./atoms.js";
import { classColour, painted, rampOf } from "./colours.js";
import { el, fill } from "./dom.js";
import { ago, ms, number, pixelNm, scaleBar } from "./units.js";
import { Viewport } from "./viewport.js";
import { flag, layer as layerName, layerUnit } from "./words.js";

const SETTLE_MS = 120;
const CLICK_REACH = 14;
const [LEAST_THUMB, MOST_THUMB] = [96, 512];
const TICK_MS = 500;
/** From this age on, and not before five times what was usual, a live frame is told to be old. */
const OLD_S = 5;
/** Layers are shown with hard pixels from this many CSS pixels a pixel on. */
const SHARP_FROM = 2;

const come = (frames) => (frames === 1 ? "one frame has come" : `${frames} frames have come`);

/**
 * wanted : {layers, region, longest_px} is asked for through `ask(view, frame)` whenever what is to be seen has changed
 * chosen(frame, number) : an atom was clicked; number -1 for none
 * alarmed() : somebody wants to see the alarms
 */
export class LiveView {
  #frame = null;
  #picture = null;
  #isGone = false;
  #source = null;
  #ahead = 0;
  #rejected = 0;
  #rejectedBefore = 0;
  #timer = null;
  #steps = null;
  #chosen = -1;
  #told = "";
  #usual = 0;
  #since = 0;
  #barred = "";

  constructor(element, { ask, ring, chosen, overlay, alarmed }) {
    this.ask = ask;
    this.ring = ring;
    this.chosen = chosen;
    this.overlay = overlay ?? (() => {});
    this.alarmed = alarmed;
    this.layer = "frame";
    this.showAtoms = true;
    this.showHalos = true;
    this.thumbs = [];
    this.thumbPixels = LEAST_THUMB;
    this.members = [];
    this.alarms = [];
    this.paused = null;
    this.#build(element);
    this.viewport = new Viewport(this.canvas, { moved: () => this.#moved(), clicked: (y, x) => this.#click(y, x) });
    new ResizeObserver(() => this.#resize()).observe(this.canvas);
    setInterval(() => this.#tick(), TICK_MS);
  }

  get frame() {
    return this.#frame;
  }

  #build(element) {
    this.canvas = el("canvas", { tabIndex: 0, aria: { label: "The frame with its atoms. Plus and minus zoom, arrows move, 0 shows all, space pauses." } });
    this.sources = el("select", { id: "source", onchange: () => this.#setSource(this.sources.value) });
    this.sourceBox = el("label", { hidden: true, title: "Frames come from several" }, "Source ", this.sources);
    this.select = el("select", { id: "layer", onchange: () => this.setLayer(this.select.value) });
    const box = (label, name) => el("label", {}, el("input", { type: "checkbox", checked: this[name], data: { box: name }, onchange: (event) => { this[name] = event.target.checked; this.draw(); } }), ` ${label}`);
    this.pauseButton = el("button", { className: "pause", title: "Key: space", onclick: () => this.togglePause() }, "Pause");
    this.back = el("button", { title: "One frame back: key ,", aria: { label: "One frame back" }, onclick: () => this.step(-1) }, "◀");
    this.forth = el("button", { title: "One frame on: key .", aria: { label: "One frame on" }, onclick: () => this.step(1) }, "▶");
    this.atomsBox = box("Atoms", "showAtoms");
    this.haloBox = box("Uncertainty", "showHalos");
    this.counts = el("div", { className: "counts" });
    this.age = el("span", { title: "since the frame's arrival" });
    this.old = el("span", { className: "old", role: "status" });
    this.flags = el("ul", { className: "flags" });
    this.legend = el("div", { className: "legend" });
    this.bar = el("div", { className: "scalebar" });
    this.colourbar = el("div", { className: "colourbar" });
    this.empty = el("p", { className: "empty" }, "Waiting for the first frame …");
    element.append(
      el("div", { className: "tools" }, this.sourceBox, el("label", {}, "Layer ", this.select), this.atomsBox, this.haloBox, el("span", { className: "space" }), this.back, this.pauseButton, this.forth),
      el("div", { className: "stage" }, this.canvas, this.empty, this.bar, this.colourbar, this.legend),
      el("div", { className: "below" }, this.counts, this.flags),
    );
    this.setMembers([], null);
  }

  /** Members whose maps can be looked at, and the state that they are in; a paused frame is answered again by another one. */
  setMembers(members, generation) {
    if (generation !== this.generation && this.paused) this.request();
    this.generation = generation;
    if (members.join() === this.members.join() && this.select.options.length) return;
    this.members = members;
    const names = ["frame", "mean", "std", ...members.map((one) => `member:${one}`)];
    fill(this.select, ...names.map((name) => el("option", { value: name, selected: name === this.layer }, layerName(name))));
    if (!names.includes(this.layer)) this.setLayer("frame");
  }

  /** Where frames come from, and how they fared; where that is more than one place, one of them can be followed. */
  setStreams(streams) {
    const names = Object.keys(streams);
    this.#rejected = Object.entries(streams).reduce((sum, [name, { dropped }]) => sum + (this.#source === null || name === this.#source ? dropped?.rejected ?? 0 : 0), 0);
    if (!this.#frame && this.#rejected) fill(this.empty, `${come(this.#rejected)} and could not be processed; the service's log says why.`);
    if (this.#source !== null && !names.includes(this.#source)) this.#source = null;
    if (names.join("\n") === [...this.sources.options].slice(1).map((one) => one.value).join("\n")) return;
    this.sourceBox.hidden = names.length < 2;
    fill(this.sources, el("option", { value: "" }, "all, as they come"), ...names.map((name) => el("option", { value: name, selected: name === this.#source }, name)));
  }

  #setSource(name) {
    this.#source = name || null;
    this.request();
  }

  /** Whether a frame is of the source that is followed. */
  takes({ report, live }) {
    return !live || this.#source === null || report.source === this.#source;
  }

  /** The service's time, seconds since the epoch: clocks of other machines go wrong, above all where there is no internet. */
  setClock(t) {
    this.#ahead = Date.now() / 1000 - t;
  }

  /** The frame that is looked at can't be had. */
  refused({ code }) {
    if (!this.paused || code !== "no_frame") return;
    this.#isGone = true;
    this.draw();
  }

  setLayer(name) {
    this.layer = name;
    this.select.value = name;
    this.request();
    this.draw();
  }

  /** Pictures of whole frames that other parts of the page want, by layer, and how long their longer side is to be. */
  setThumbs(names, longest = LEAST_THUMB) {
    const pixels = Math.min(Math.max(longest, LEAST_THUMB), MOST_THUMB);
    if (names.join() === this.thumbs.join() && pixels === this.thumbPixels) return;
    this.thumbs = names;
    this.thumbPixels = pixels;
    this.request();
  }

  request() {
    const density = devicePixelRatio || 1;
    const longest = Math.round(Math.min(2048, Math.max(64, density * Math.max(this.viewport.width, this.viewport.height))));
    const view = { layers: [this.layer], longest_px: longest, thumbs: this.thumbs, thumb_px: this.thumbPixels, region: this.viewport.fitted ? null : this.viewport.region };
    this.ask(view, this.paused);
  }

  show(frame) {
    if (this.paused && frame.live) return;
    this.#follow(frame);
    const apart = (performance.now() - this.#since) / 1000;
    this.#usual = this.#since ? 0.8 * this.#usual + 0.2 * apart : 0;
    this.#since = performance.now();
    this.#frame = frame;
    this.#isGone = false;
    this.#rejectedBefore = this.#rejected;
    // No picture of one frame is shown with the atoms of another.
    const picture = frame.pictures.find((one) => one.use === "layer");
    this.#picture = picture ? { picture, region: frame.region, canvas: painted(picture, rampOf(picture.name), this.#picture?.canvas) } : null;
    this.viewport.setFrame(frame.report.shape);
    this.#tell(frame);
    this.draw();
  }

  /** The atom that is marked, found again in another frame. */
  #follow(frame) {
    const before = this.#frame;
    if (!before || this.#chosen < 0) return;
    const isOf = ({ report }) => [report.session, report.seq, report.ensemble.generation].join();
    if (isOf(before) === isOf(frame)) return;
    if (before.report.source !== frame.report.source) return void (this.#chosen = -1);
    const [y, x] = rowOf(before.atoms, this.#chosen);
    this.#chosen = nearestTo(frame.atoms, y, x, 0);
  }

  /** What changes while nothing comes. */
  #tick() {
    if (!this.#frame) return;
    const { report, live } = this.#frame;
    const seconds = Date.now() / 1000 - this.#ahead - report.t_recv;
    fill(this.age, live && !this.paused ? `age ${ago(seconds)}` : `kept, ${ago(seconds)} old`);
    const silent = (performance.now() - this.#since) / 1000;
    const lost = this.#rejected - this.#rejectedBefore;
    const told = lost > 0 ? `${come(lost)} since and could not be processed; the service's log says why` : `no frame has come for ${ago(silent)}`;
    fill(this.old, live && !this.paused && silent > Math.max(OLD_S, 5 * this.#usual) ? `▲ ${told}` : "");
  }

  async togglePause() {
    if (this.paused) {
      this.paused = this.#steps = null;
    } else if (this.#frame) {
      const { session, seq } = this.#frame.report;
      this.paused = [session, seq];
      this.#steps = await this.ring().catch(() => null);
    }
    this.pauseButton.textContent = this.paused ? "Live" : "Pause";
    this.canvas.parentElement.classList.toggle("paused", Boolean(this.paused));
    this.request();
  }

  /** Look at another frame of the ring. */
  async step(by) {
    if (!this.paused) await this.togglePause();
    // The frame that was shown last comes into the ring a little later than onto the page, and in time all of them leave it.
    const steps = await this.ring().catch(() => this.#steps);
    if (!this.paused || !steps?.length) return;
    this.#steps = steps;
    const at = this.#place();
    // The oldest are gone before they could be shown.
    const to = at < 0 ? Math.floor(steps.length / 4) : at + by;
    const next = steps[Math.min(Math.max(to, 0), steps.length - 1)];
    if (!next) return;
    this.paused = next;
    this.request();
  }

  /** Where in the ring the frame is that is looked at: one past its end where it is not there yet, -1 where it is there no more. */
  #place() {
    const [session, seq] = this.paused;
    const at = this.#steps.findIndex((one) => one[0] === session && one[1] === seq);
    if (at >= 0) return at;
    return this.#steps.some((one) => one[0] === session && one[1] < seq) ? this.#steps.length : -1;
  }

  choose(number) {
    this.#chosen = number;
    this.draw();
  }

  draw() {
    const context = this.canvas.getContext("2d");
    const density = devicePixelRatio || 1;
    const { viewport } = this;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.fillStyle = "#000";
    context.fillRect(0, 0, viewport.width, viewport.height);
    if (!this.#frame) return;
    const shown = this.#picture?.picture.name === this.layer ? this.#picture : null;
    this.empty.hidden = Boolean(shown);
    const why = this.#isGone ? "the service no longer keeps this frame" : this.#frame.layers.includes(this.layer) ? "not run on this frame" : "is coming …";
    fill(this.empty, `${layerName(this.layer)}: ${why}`);
    if (shown) {
      const [top, left, bottom, right] = shown.region;
      const [x, y] = viewport.toScreen(top - 0.5, left - 0.5);
      context.imageSmoothingEnabled = viewport.scale < SHARP_FROM;
      context.imageSmoothingQuality = "high";
      context.drawImage(shown.canvas, x, y, (right - left) * viewport.scale, (bottom - top) * viewport.scale);
    }
    if (this.showAtoms) drawAtoms(context, this.#frame.atoms, viewport, { halo: this.showHalos, chosen: this.#chosen });
    this.overlay(context, viewport, this.#frame);
    this.#drawBars(shown?.picture);
  }

  #tell({ report, atoms, live, again, no_maps: noMaps }) {
    const count = countOf(atoms);
    fill(
      this.counts,
      ...[
        el("b", {}, `${count} atoms`),
        el("span", {}, `${report.members_used.length} of ${report.members_total} members`),
        el("span", {}, `frame ${report.seq}`),
        !this.sourceBox.hidden && el("span", {}, `from ${report.source}`),
        el("span", { title: "from the frame's arrival to its answer" }, ms(report.latency_ms.total)),
        this.age,
        this.old,
        again && el("span", {}, "answered again by the members in use now"),
      ].filter(Boolean).flatMap((one) => [one, " "]),
    );
    this.#tick();
    const told = JSON.stringify([report.flags, noMaps, report.classes, this.alarms, this.showHalos]);
    if (told === this.#told) return;
    this.#told = told;
    fill(this.flags, ...report.flags.map((code) => el("li", { data: { flag: code } }, code === "drift" ? this.#driftFlag() : flag(code))), noMaps && el("li", {}, `no maps of this frame: ${noMaps}`));
    const kinds = report.classes.map((name, kind) => el("span", {}, el("i", { style: `border-color:${classColour(kind)}` }), name));
    fill(this.legend, ...kinds, this.showHalos && el("span", {}, el("i", { className: "unsure" }), "wide ring: unsure"));
  }

  #driftFlag() {
    return el("button", { className: "link", onclick: () => this.alarmed() }, this.alarms.length ? `drift: ${this.alarms.join(", ")}` : flag("drift"));
  }

  #drawBars(picture) {
    const size = pixelNm(this.#frame.report);
    const perPixel = size ? size[1] : null;
    const most = 0.25 * this.viewport.width;
    const bar = perPixel ? scaleBar((most / this.viewport.scale) * perPixel) : scaleBar(most / this.viewport.scale);
    const width = (perPixel ? bar.length / perPixel : bar.length) * this.viewport.scale;
    const barred = JSON.stringify([width, bar.text, perPixel, picture?.name, picture && number(picture.low), picture && number(picture.high)]);
    if (barred === this.#barred) return;
    this.#barred = barred;
    fill(this.bar, el("i", { style: `width:${width.toFixed(1)}px` }), perPixel ? bar.text : `${number(bar.length)} px`);
    if (!picture) return void fill(this.colourbar);
    const colours = rampOf(picture.name);
    const stops = [0, 64, 128, 192, 255].map((k) => `rgb(${colours[k] & 255} ${(colours[k] >> 8) & 255} ${(colours[k] >> 16) & 255})`);
    fill(this.colourbar, el("span", {}, number(picture.high)), el("i", { style: `background:linear-gradient(to top, ${stops.join(", ")})` }), el("span", {}, number(picture.low)), el("small", {}, layerUnit(picture.name)));
  }

  #click(y, x) {
    if (!this.#frame) return;
    this.#chosen = nearestTo(this.#frame.atoms, y, x, CLICK_REACH / this.viewport.scale);
    this.draw();
    this.chosen(this.#frame, this.#chosen);
  }

  #moved() {
    this.draw();
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.request(), SETTLE_MS);
  }

  #resize() {
    const density = devicePixelRatio || 1;
    const { clientWidth, clientHeight } = this.canvas;
    this.canvas.width = Math.round(clientWidth * density);
    this.canvas.height = Math.round(clientHeight * density);
    this.viewport.resize(clientWidth, clientHeight);
  }
}
