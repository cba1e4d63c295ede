// The line at the top: what runs, how fast, and what is wrong with it.

import { el, fill, toast } from "./dom.js";
import { showKeys } from "./keys.js";
import { setRole } from "./roles.js";
import { followTheme, toggleTheme } from "./theme.js";
import { ago, bytes, clock, ms, perSecond } from "./units.js";
import { drop, engineState } from "./words.js";

export class Header {
  constructor(element, notices) {
    this.notices = notices;
    this.link = true;
    this.restarts = null;
    this.name = el("b", { className: "ensemble" });
    this.engine = el("span", { className: "engine", role: "status" });
    this.figures = el("div", { className: "figures" });
    this.who = el("span", { className: "who" });
    this.theme = el("button", { className: "quiet", title: "Dark or light", aria: { label: "Dark or light theme" }, onclick: toggleTheme }, "◐");
    const keys = el("button", { className: "quiet", title: "Keys: ?", aria: { label: "Keys" }, onclick: showKeys }, "?");
    element.append(el("h1", {}, el("a", { className: "brand", href: "/" }, el("img", { src: "/page/icon.svg", alt: "" }), "Atomstream")), this.name, this.engine, el("span", { className: "space" }), this.figures, this.who, keys, this.theme);
    followTheme();
  }

  hello({ name, role }) {
    fill(this.who, role ? `${name ?? "this machine"}: ${role}${role === "viewer" ? ", may look" : ""}` : "");
    setRole(role);
  }

  setLink(up) {
    this.link = up;
    if (!up) this.#notice("The service does not answer. This page connects again by itself as soon as it does.");
  }

  show({ status }) {
    const { engine, ensemble, streams } = status;
    fill(this.name, ensemble.name, el("small", {}, ` version ${ensemble.version}`));
    this.name.title = this.name.textContent;
    this.engine.dataset.state = engine.state;
    fill(this.engine, engine.state === "ready" ? `${engine.runtime ?? ""}, ${engine.bits ?? ""}` : engine.state);
    const dropped = Object.values(streams).flatMap((one) => Object.entries(one.dropped ?? {})).filter(([, count]) => count);
    const figure = (label, value, title) => el("span", { title }, el("small", {}, label), value);
    fill(
      this.figures,
      figure("rate", perSecond(status.frames_per_s), "frames answered a second"),
      figure("latency", ms(status.latency_ms?.total?.p50), "from a frame's arrival to its answer, the median"),
      figure("p99", ms(status.latency_ms?.total?.p99), "99 of 100 frames are answered within this time"),
      figure("dropped", String(dropped.reduce((sum, [, count]) => sum + count, 0)), dropped.map(([where, count]) => `${count} ${drop(where)}`).join(", ") || "no frame was lost"),
      figure("device", engine.device ?? "–", engine.providers.join(", ")),
      figure("memory", bytes(status.memory_bytes), "of the engine"),
    );
    this.#tellOfRestarts(engine);
    if (!this.link) return;
    if (engine.state !== "ready") this.#notice(`The engine: ${engineState(engine.state)}.`);
    else this.#notice("");
  }

  /** Who looked away while the engine was gone hears of it, too. */
  #tellOfRestarts({ state, restarts, last_restart_s: seconds }) {
    if (state !== "ready") return;
    if (this.restarts !== null && restarts > this.restarts) toast(`The engine had ended and was started again at ${clock(Date.now() / 1000)}; for ${ago(seconds)} no frame was answered.`, { kind: "bad", stays: true });
    this.restarts = restarts;
  }

  #notice(text) {
    fill(this.notices, text);
    this.notices.hidden = !text;
  }
}
