// Ensembles: bring one, compare it beside the live one, make it live, go back; and who did what.

import { el, fill, renew, toast } from "./dom.js";
import { may } from "./roles.js";
import { bytes, clock, day, ms, number, percent } from "./units.js";
import { MEMBER_STATES } from "./words.js";

const USES = { live: "live", last_good: "the last good one", candidate: "beside the live one", earlier: "was live before", none: "" };

export class Ensembles {
  #latest = null;
  #journal = 0;
  #isChanging = false;

  constructor(api, open) {
    Object.assign(this, { api, open });
    this.input = el("input", { type: "file", accept: ".atomstream,.zip", hidden: true, onchange: () => this.input.files[0] && this.upload(this.input.files[0]) });
    this.drop = el("button", { className: "drop", acts: "admin", onclick: () => this.input.click() }, "Drop a bundle (.atomstream, .zip) here, or click to choose one");
    this.staging = el("div", { className: "staging", role: "status" });
    this.compare = el("div", { className: "compare" });
    this.list = el("ul", { className: "ensembles" });
    this.back = el("button", { disabled: true, acts: "operator", onclick: () => this.rollback() }, "Roll back");
    this.timeline = el("ol", { className: "timeline" });
    this.element = el("div", {}, this.input, this.drop, this.staging, this.compare, el("div", { className: "tools" }, el("h2", { className: "section" }, "Registered"), el("span", { className: "space" }), this.back), this.list, el("h2", { className: "section" }, "Journal"), this.timeline);
    // Anywhere: a browser leaves the page for a file that is dropped where nobody takes it.
    for (const kind of ["dragover", "dragleave", "drop"]) document.addEventListener(kind, (event) => this.#dragged(event));
  }

  opened() {
    this.#read();
  }

  closed() {
    fill(this.staging);
  }

  show(state) {
    const { ensemble } = state.status;
    this.#latest = state;
    this.#showCandidate(ensemble);
    if (state.journal === this.#journal) return;
    this.#journal = state.journal;
    if (!this.element.hidden) this.#read();
  }

  async upload(file) {
    fill(this.staging, `${file.name}: ${bytes(file.size)} are sent, opened in a process of their own and checked on their golden frames …`);
    try {
      const entry = await this.api.send("POST", "/v1/ensembles", file);
      this.#report(entry.report, `${entry.name} ${entry.version} is registered.`);
      await this.#read();
    } catch (problem) {
      this.#report(problem.body.report, `${file.name} ${problem.status ? `is refused. ${problem.body.report ? "" : problem.message}` : await this.#whyNotSent(problem)}`);
    }
    this.input.value = "";
  }

  /** A browser does not say whether the service is gone or the file can't be read, as a folder that was dropped. */
  async #whyNotSent({ message }) {
    const isThere = await this.api.get("/v1/status").then(() => true, () => false);
    return isThere ? "can't be read here. Of a folder, `atomstream bundle pack` makes a file that can be brought." : `has not been sent: ${message}.`;
  }

  async activate(name, version, mode) {
    await this.#change(mode === "live" ? `${name} ${version} is being made ready …` : `${name} ${version} is being loaded beside …`, async () => {
      const done = await this.api.send("POST", `/v1/ensembles/${encodeURIComponent(name)}/${encodeURIComponent(version)}/activate`, { mode });
      const told = mode === "live" ? `${name} ${version} answers, from generation ${done.generation} on` : `${name} ${version} runs beside the live ensemble`;
      return { told, undo: mode === "live" ? { label: "Roll back", act: () => this.rollback() } : { label: "Undo", act: () => this.dropCandidate() } };
    });
  }

  rollback() {
    return this.#change("Going back …", async () => {
      const done = await this.api.send("POST", "/v1/ensembles/rollback", {});
      return { told: `${done.ensemble.name} ${done.ensemble.version} answers again, from generation ${done.generation} on` };
    });
  }

  dropCandidate() {
    return this.#change("", async () => {
      await this.api.send("DELETE", "/v1/ensembles/candidate");
      return { told: "No ensemble runs beside the live one any more" };
    });
  }

  remove(name, version) {
    return this.#change("", async () => {
      await this.api.send("DELETE", `/v1/ensembles/${encodeURIComponent(name)}/${encodeURIComponent(version)}`);
      return { told: `${name} ${version} is removed` };
    });
  }

  /** One at a time: who is impatient and clicks again has not asked for the next change. */
  async #change(meanwhile, act) {
    if (this.#isChanging) return;
    this.#isChanging = true;
    const waiting = meanwhile ? toast(meanwhile) : null;
    try {
      const { told, undo } = await act();
      toast(told, { action: undo });
    } catch (problem) {
      toast(`Not done: ${problem.message}`, { kind: "bad" });
    }
    waiting?.remove();
    this.#isChanging = false;
    await this.#read();
  }

  async #read() {
    try {
      const [{ ensembles, rollback_to: back }, { entries }] = await Promise.all([this.api.get("/v1/ensembles"), this.api.get("/v1/journal?limit=100")]);
      this.back.disabled = !back;
      fill(this.back, back ? `Roll back to ${back.name} ${back.version}` : "Roll back");
      renew(this.list, ...ensembles.map((one) => this.#row(one)));
      renew(this.timeline, ...entries.reverse().map(line));
    } catch (problem) {
      toast(problem.message, { kind: "bad" });
    }
  }

  #row({ name, version, use, source, actor, added, size_bytes: size }) {
    const act = (label, title, what, { primary = false, acts = "operator" } = {}) => el("button", { className: primary ? "primary" : "", acts, title, onclick: what }, label);
    const isIdle = use === "none" || use === "earlier";
    return el(
      "li",
      { data: { use: use ?? "", key: `${name} ${version}` } },
      el("div", {}, el("b", {}, `${name} ${version}`), " ", el("span", { className: "use" }, USES[use] ?? use), el("br"), el("small", {}, `${source} by ${actor}, ${day(Date.parse(added) / 1000)}, ${bytes(size)}`)),
      el("span", { className: "space" }),
      use !== "live" && use !== "candidate" && act("Compare", "Run it beside the live one on every Nth frame; it never counts", () => this.activate(name, version, "shadow")),
      use !== "live" && act("Make live", "It answers from the next frame on; if it fails, the last good one is back", () => this.activate(name, version, "live"), { primary: use === "candidate" }),
      isIdle && act("Remove", "From the registry", () => this.remove(name, version), { acts: "admin" }),
    );
  }

  #showCandidate({ candidate, name, version, trial, reverted }) {
    const parts = [];
    if (trial) parts.push(el("p", { className: "trial" }, `${name} ${version} is on trial for ${trial.frames_left} more frames; if it fails, ${trial.last_good.name} ${trial.last_good.version} is back at once.`));
    if (reverted) parts.push(el("p", { className: "trial" }, `${reverted.name} ${reverted.version} failed and was taken back: ${reverted.reason}`));
    if (candidate) {
      const { agreement } = candidate;
      const rows = [
        ["same atoms (F1 of the two)", percent(agreement.f1, 1), ""],
        ["atoms found, of the live one's", percent(agreement.count_ratio ?? NaN, 1), ""],
        ["std where either sees an atom", number(agreement.std ?? NaN), number(agreement.live_std ?? NaN)],
        ["time for a frame", ms(agreement.latency_ms ?? NaN), ms(agreement.live_latency_ms ?? NaN)],
      ];
      parts.push(
        el("h2", { className: "section" }, `${candidate.name} ${candidate.version} beside ${name} ${version}`),
        el("table", {}, el("thead", {}, el("tr", {}, ["", "candidate", "live"].map((one) => el("th", {}, one)))), el("tbody", {}, rows.map(([label, ...cells]) => el("tr", {}, el("th", {}, label), cells.map((cell) => el("td", {}, cell)))))),
        el("p", { className: "soft" }, `over ${candidate.averaged} of ${candidate.frames} frames${candidate.failed ? `; failed on ${candidate.failed}: ${candidate.failure}` : ""}`),
        el("div", { className: "buttons", acts: "operator" }, el("button", { onclick: () => this.dropCandidate() }, "Take it off"), el("button", { className: "primary", onclick: () => this.activate(candidate.name, candidate.version, "live") }, "Make it live")),
      );
    }
    renew(this.compare, ...parts);
  }

  #report(report, text) {
    const checks = report?.checks ?? [];
    fill(this.staging, el("p", {}, text), checks.length ? el("ul", {}, checks.map(({ name, passed, detail }) => el("li", { className: passed ? "passed" : "failed" }, `${passed ? "✓" : "✗"} ${name}: ${detail.replaceAll("upload.atomstream", "the file")}`))) : null);
  }

  #dragged(event) {
    event.preventDefault();
    this.drop.classList.toggle("over", event.type === "dragover");
    const file = event.type === "drop" ? event.dataTransfer.files[0] : null;
    if (!file || !may("admin")) return;
    this.open("ensembles");
    this.upload(file);
  }
}

function line({ t, actor, action, target, reason, generation, after }) {
  const what = action === "set_members" && after && typeof after === "object" ? membersSet(after) : `${action.replaceAll("_", " ")} ${target}`;
  return el("li", {}, el("time", { title: day(t) }, clock(t)), el("div", {}, el("b", {}, what), el("br"), el("small", {}, `${actor}${reason ? `: ${reason}` : ""} · generation ${generation}`)));
}

/** "m03, m04 taken out; m05 in use" */
function membersSet(after) {
  const by = Map.groupBy(Object.entries(after), ([, state]) => state);
  return [...by].map(([state, members]) => `${members.map(([id]) => id).join(", ")} ${MEMBER_STATES[state] ?? state}`).join("; ") || "all members chosen as they are";
}
