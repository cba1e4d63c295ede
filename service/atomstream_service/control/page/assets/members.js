// Members side by side: what each makes of the same frame, and whether it counts.

import { countOf } from "./atoms.js";
import { painted, RAMPS } from "./colours.js";
import { el, fill, toast } from "./dom.js";
import { isForAnother } from "./keys.js";
import { may } from "./roles.js";
import { ms, number } from "./units.js";
import { MEMBER_STATES } from "./words.js";

const CHOOSABLE = new Set(["enabled", "shadow", "disabled"]);
const KEYS = "qwertyuiopasdfghjklzxcvbnm";
/** Em: narrower cards are not made, the grid scrolls instead. */
const LEAST_CARD = 9.5;
/** Em of a card's height beside its picture. */
const CARD_TEXT = 7;
const GAP_PX = 10;

/** `live` gives the thumbs' frames; `reason()` is what is written into the journal. */
export class Members {
  #cards = new Map();
  #generation = 0;
  #chosen = new Set();
  #asking = false;

  constructor(api, live) {
    this.api = api;
    this.live = live;
    this.needed = el("div", { className: "needed", hidden: true });
    this.reason = el("input", { type: "text", id: "reason", acts: "operator", placeholder: "Reason, for the journal (optional)", aria: { label: "Reason, for the journal" }, maxLength: 2000 });
    this.only = el("button", { disabled: true, acts: "operator", onclick: () => this.useOnly() }, "Use only the marked");
    this.all = el("button", { acts: "operator", onclick: () => this.useAll() }, "Use all");
    this.grid = el("div", { className: "grid" });
    this.element = el(
      "div",
      { className: "members" },
      this.needed,
      el("div", { className: "tools" }, this.reason, this.only, this.all),
      el("p", { className: "hint", acts: "operator" }, "Click a picture, or press its letter, to take that member out or put it back."),
      this.grid,
    );
    document.addEventListener("keydown", (event) => this.#key(event));
    new ResizeObserver(() => this.#arrange()).observe(this.element);
  }

  opened() {
    this.#arrange();
  }

  closed() {
    this.live.setThumbs([]);
  }

  get isOpen() {
    return !this.element.hidden;
  }

  show({ status }) {
    this.#generation = status.ensemble.generation;
    const ids = Object.keys(status.members);
    if (ids.join() !== [...this.#cards.keys()].join()) this.#build(ids);
    const drifts = Object.values(status.drift ?? {});
    for (const id of ids) {
      const { state, latency_ms: latency } = status.members[id];
      const standing = drifts.map((one) => one.members?.[id]).find(Boolean);
      this.#cards.get(id).show(state, latency, standing);
    }
    this.#askForSelection(status.ensemble);
  }

  /** A frame of the stream or the ring; its thumbs are the members' own maps. */
  frame(frame) {
    if (!this.isOpen) return;
    const used = new Set(frame.report.members_used);
    const maps = new Map(frame.pictures.filter((one) => one.use === "thumb").map((one) => [one.name.replace("member:", ""), one]));
    for (const [id, card] of this.#cards) card.frame(maps.get(id), used.has(id), frame);
  }

  async set(id, state, { undo = true } = {}) {
    if (!may("operator")) return;
    const before = this.#cards.get(id).state;
    const done = await this.#change(() => this.api.send("PATCH", `/v1/members/${id}`, { state, reason: this.reason.value }));
    if (!done || !undo) return;
    const text = state === "enabled" ? `${id} is in use again` : state === "shadow" ? `${id} runs beside the others` : `${id} is taken out`;
    const back = CHOOSABLE.has(before) ? { label: "Undo", act: () => this.set(id, before, { undo: false }) } : null;
    this.#tell(text, done.generation, back);
  }

  toggle(id) {
    return this.set(id, this.#cards.get(id).state === "enabled" ? "disabled" : "enabled");
  }

  useOnly() {
    return this.#use([...this.#chosen]);
  }

  useAll() {
    return this.#use([...this.#cards.keys()]);
  }

  get #inUse() {
    return [...this.#cards].filter(([, card]) => card.state === "enabled").map(([id]) => id);
  }

  async #use(enabled, { undo = true } = {}) {
    const before = this.#inUse;
    const done = await this.#change(() => this.api.send("PUT", "/v1/members", { enabled, reason: this.reason.value }));
    if (!done) return;
    this.#chosen.clear();
    this.#marks();
    if (undo) this.#tell(`${enabled.length} members are in use`, done.generation, { label: "Undo", act: () => this.#use(before, { undo: false }) });
  }

  #tell(text, generation, action) {
    toast(`${text} (generation ${generation})`, { action, topic: "members", title: "Every result names the generation that made it; this one holds from the next frame on." });
  }

  async #change(act) {
    try {
      const done = await act();
      this.reason.value = "";
      return done;
    } catch (problem) {
      toast(`Not changed: ${problem.message}`, { kind: "bad" });
      return null;
    }
  }

  #build(ids) {
    this.#cards = new Map(ids.map((id, k) => [id, new Card(id, KEYS[k], this)]));
    this.#chosen.clear();
    fill(this.grid, ...[...this.#cards.values()].map((card) => card.element));
    if (this.isOpen) this.opened();
  }

  /** As many columns as make the pictures largest with all of them to be seen. */
  #arrange() {
    const count = this.#cards.size;
    const { clientWidth: width } = this.grid;
    if (!count || !width) return;
    const em = parseFloat(getComputedStyle(this.grid).fontSize);
    const height = this.element.clientHeight - (this.grid.offsetTop - this.element.offsetTop);
    const side = (columns) => (width - (columns - 1) * GAP_PX) / columns;
    const fits = (columns) => Math.ceil(count / columns) * (side(columns) + CARD_TEXT * em + GAP_PX) <= height;
    const most = Math.max(1, Math.min(count, Math.floor((width + GAP_PX) / (LEAST_CARD * em + GAP_PX))));
    let columns = 1;
    while (columns < most && !fits(columns)) columns++;
    this.grid.style.setProperty("--columns", columns);
    this.live.setThumbs(this.#layers(), Math.round(side(columns) * (devicePixelRatio || 1)));
  }

  #layers() {
    return [...this.#cards.keys()].map((id) => `member:${id}`);
  }

  mark(id, marked) {
    if (marked) this.#chosen.add(id);
    else this.#chosen.delete(id);
    this.#marks();
  }

  #marks() {
    this.only.disabled = !this.#chosen.size;
    fill(this.only, this.#chosen.size ? `Use only the ${this.#chosen.size} marked` : "Use only the marked");
    for (const [id, card] of this.#cards) card.box.checked = this.#chosen.has(id);
  }

  /** Once members have been chosen the box says so and stays until it is closed: nothing moves under the pointer. */
  #askForSelection({ origin, selected }) {
    const isNeeded = origin === "simulated" && !selected;
    if (isNeeded === this.#asking) return;
    this.#asking = isNeeded;
    if (!isNeeded) {
      const close = el("button", { onclick: () => this.#showNeeded(false) }, "Close");
      this.needed.style.minHeight = `${this.needed.offsetHeight}px`;
      fill(this.needed, el("b", {}, "Members have been chosen. "), "Results no longer carry the flag that nobody has. Members can be taken out and put back at any time.", el("div", { className: "buttons" }, close));
      return;
    }
    this.needed.style.minHeight = "";
    this.#showNeeded(true);
    fill(
      this.needed,
      el("b", {}, "Choose the members to use. "),
      "This ensemble learned from simulated images alone. On real frames some of its members see atoms where there are none, and then mean and std mean little (Ghosh et al. 2021). " +
        "Look at each member below, take out those that see what is not there, or say that all are good.",
      el("div", { className: "buttons", acts: "operator" }, el("button", { className: "primary", onclick: () => this.#use(this.#inUse) }, "These are good")),
    );
  }

  #showNeeded(shown) {
    this.needed.hidden = !shown;
    this.#arrange();
  }

  #key(event) {
    if (!this.isOpen || isForAnother(event)) return;
    const id = [...this.#cards.keys()][KEYS.indexOf(event.key)];
    if (event.key.length !== 1 || id === undefined) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    if (!event.repeat) this.toggle(id);
  }
}

class Card {
  constructor(id, key, owner) {
    this.id = id;
    this.state = null;
    this.picture = el("canvas", { width: 8, height: 8 });
    this.words = el("span", { className: "state" });
    this.votes = el("span", { className: "figures" });
    this.figures = el("span", { className: "figures" });
    this.box = el("input", { type: "checkbox", acts: "operator", title: "Mark, for “Use only the marked”", aria: { label: `Mark ${id}` }, onchange: () => owner.mark(id, this.box.checked) });
    this.none = el("span", { hidden: true }, "not run on this frame");
    this.button = el("button", { className: "picture", onclick: (event) => event.detail > 1 || owner.toggle(id) }, this.picture, this.none);
    this.shadow = el("button", { className: "small", acts: "operator", title: "Run it beside the others, without using it", onclick: () => owner.set(id, this.state === "shadow" ? "enabled" : "shadow") }, "Run beside");
    this.element = el(
      "article",
      { className: "card", data: { member: id } },
      el("header", {}, el("label", {}, this.box, ` ${id}`), key && el("kbd", {}, key)),
      this.button,
      el("footer", {}, el("div", {}, this.words, this.shadow), this.votes, this.figures),
    );
  }

  show(state, latency, standing) {
    this.state = state;
    this.element.dataset.state = state;
    const isRun = state === "enabled" || state === "shadow";
    this.element.dataset.alarm = String(isRun && Boolean(standing?.alarm.raised));
    fill(this.words, MEMBER_STATES[state] ?? state);
    fill(this.shadow, state === "shadow" ? "Use" : "Run beside");
    const drift = isRun && standing ? `${standing.alarm.raised ? "▲ " : ""}drift ${number(standing.ratio, 2)}×` : "drift –";
    fill(this.figures, `${drift} · ${ms(isRun ? latency : NaN)}`);
    this.figures.title = "how much further from the others it is than the median member; how long it took for the last frame";
    this.button.disabled = !may("operator");
    this.button.setAttribute("aria-label", state === "enabled" ? `Take ${this.id} out` : `Put ${this.id} back`);
    this.button.setAttribute("aria-pressed", String(state === "enabled"));
  }

  frame(map, isUsed, frame) {
    this.element.dataset.used = String(isUsed);
    if (map) painted(map, RAMPS.probability, this.picture);
    this.element.dataset.seen = map ? `${frame.report.session}/${frame.report.seq}` : "";
    this.none.hidden = Boolean(map);
    const votes = frame.votes[this.id];
    fill(this.votes, votes === undefined ? "sees –" : `sees ${votes} of ${countOf(frame.atoms)}`);
    this.votes.title = "of the frame's atoms";
  }
}
