// Drift: what has changed, how it came, and the button that does what is advised.

import { StripChart } from "./chart.js";
import { el, fill, renew, toast } from "./dom.js";
import { DriftHistory } from "./history.js";
import { number, percent } from "./units.js";
import { signal } from "./words.js";

const STATISTICS = { level: "level", contrast: "contrast", noise: "noise", lattice: "lattice peak", jitter: "line jitter" };
/** Colours of lines in the style sheet, from --line-0 on. */
const LINES = 6;

/** members : the panel that takes members out; opened(id) opens a panel. */
export class Drift {
  #source = null;
  #latest = null;

  constructor(api, members, open) {
    Object.assign(this, { api, members, open });
    this.history = new DriftHistory();
    this.sources = el("select", { aria: { label: "Source of the frames" }, onchange: () => { this.#source = this.sources.value; this.#draw(); } });
    this.list = el("ul", { className: "alarms" });
    this.calm = el("p", { className: "calm" });
    const chart = (title, unit) => {
      const box = el("div", { className: "chart" });
      return { title: el("h2", { className: "section" }, title), key: el("div", { className: "key" }), box, chart: new StripChart(box, unit) };
    };
    this.charts = {
      members: chart("Each member against the others", "of the median"),
      scene: chart("The scene: how well members agree", "of the usual"),
      instrument: chart("The instrument: what frames look like", "of the usual"),
    };
    this.element = el("div", { className: "drift" }, el("div", { className: "tools" }, el("label", {}, "Source ", this.sources)), this.list, this.calm, Object.values(this.charts).map((one) => el("section", {}, one.title, one.key, one.box)));
  }

  opened() {
    this.#draw();
  }

  /** What alarms are raised about, over all sources. */
  get alarms() {
    return Object.values(this.#latest?.drift ?? {}).flatMap((one) => alarmsOf(one).map(({ subject }) => (subject in one.members ? `member ${subject}` : `the ${subject}`)));
  }

  show({ status }) {
    this.#latest = status;
    this.history.add(status.drift ?? {});
    const names = Object.keys(status.drift ?? {});
    if (!names.includes(this.#source)) this.#source = names[0] ?? null;
    if (names.join("\n") !== [...this.sources.options].map((one) => one.value).join("\n")) fill(this.sources, ...names.map((name) => el("option", { value: name, selected: name === this.#source }, name)));
    if (!this.element.hidden) this.#draw();
  }

  #draw() {
    const standing = this.#latest?.drift?.[this.#source];
    if (!standing) {
      fill(this.calm, "No frame has been judged yet.");
      fill(this.list);
      for (const { chart, key } of Object.values(this.charts)) chart.clear(), fill(key);
      return;
    }
    const alarms = alarmsOf(standing);
    renew(this.list, ...alarms.map((alarm) => this.#alarm(alarm)));
    const learned = Math.min(...Object.values(standing.members).filter((one) => one.used).map((one) => one.learned), standing.scene.learned, standing.instrument.learned);
    const told = alarms.length ? "" : learned < 1 ? `Still learning what is normal here: ${percent(learned)} of the frames that it takes.` : "No alarm.";
    fill(this.calm, told, ...(standing.advice.length ? standing.advice.map((one) => el("p", { className: "advice" }, sentence(one, standing.members))) : []));
    this.#drawCharts(standing);
  }

  #alarm({ subject, title, alarm }) {
    const acknowledge = el("button", { acts: "operator", onclick: () => this.#acknowledge(subject) }, "Acknowledge");
    const state = this.#latest.members[subject]?.state;
    const act = subject in this.#latest.members
      ? state === "enabled" && el("button", { className: "primary", acts: "operator", onclick: () => this.members.set(subject, "disabled") }, `Take ${subject} out`)
      : subject === "scene" && el("button", { className: "primary", acts: "operator", onclick: () => this.open("refine") }, "Refine on the last frames");
    return el("li", { data: { alarm: subject, key: `${subject} ${title}` } }, el("b", {}, title), el("span", {}, ` ${signal(alarm.signal)}, since frame ${alarm.since}`, alarm.over ? "; over by now" : ""), el("span", { className: "space" }), act, acknowledge);
  }

  async #acknowledge(subject) {
    try {
      await this.api.send("POST", `/v1/drift/${subject}/acknowledge`, { source: this.#source });
      toast(`The alarm on ${subject} is acknowledged`);
    } catch (problem) {
      toast(`Not acknowledged: ${problem.message}`, { kind: "bad" });
    }
  }

  #drawCharts(standing) {
    const kept = this.history.of(this.#source);
    if (!kept) return;
    const worst = Object.entries(standing.members).filter(([, one]) => one.alarm.raised || one.ratio > 2).map(([id]) => id);
    const line = (label, name, k, plain = false) => ({ label, plain, colour: plain ? "--soft" : `--line-${k % LINES}`, width: plain ? 1 : 2, values: kept.series.get(name) ?? kept.seqs.map(() => null) });
    const series = {
      members: kept.members.map((id) => line(id, `member:${id}`, worst.indexOf(id), !worst.includes(id))),
      scene: [line("agreement", "scene:agreement", 0), line("std", "scene:spread", 1)],
      instrument: Object.entries(STATISTICS).map(([name, label], k) => line(label, `instrument:${name}`, k)),
    };
    for (const [name, { chart, key }] of Object.entries(this.charts)) {
      chart.set(kept.seqs, series[name]);
      const named = series[name].filter((one) => !one.plain);
      fill(key, ...named.map((one) => el("span", {}, el("i", { style: `background:var(${one.colour})` }), `${one.label} ${told(one.values.at(-1))}`)));
    }
  }
}

function alarmsOf(standing) {
  const found = Object.entries(standing.members).map(([id, one]) => ({ subject: id, title: `Member ${id}`, alarm: one.alarm }));
  const common = [
    ["scene", "The scene", standing.scene.alarm],
    ["instrument", "The instrument", standing.instrument.alarm],
    ["instrument", "The members, since the instrument changed", standing.lost],
    ["unattributed", "One of two members", standing.pair],
  ];
  found.push(...common.map(([subject, title, alarm]) => ({ subject, title, alarm })));
  return found.filter(({ alarm }) => alarm.raised);
}

const told = (factor) => (factor === null ? "still learning" : `${number(factor, 2)}×`);

/** With a capital, unless it begins with a member's name. */
const sentence = (text, members) => `${text.split(" ")[0] in members ? text : text[0].toUpperCase() + text.slice(1)}.`;
