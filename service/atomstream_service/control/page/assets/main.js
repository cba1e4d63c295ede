// The page put together.

import { Api } from "./api.js";
import { Connection } from "./connection.js";
import { ask, toast } from "./dom.js";
import { Drift } from "./drift.js";
import { Ensembles } from "./ensembles.js";
import { Header } from "./header.js";
import { Inspector } from "./inspector.js";
import { isForAnother, showKeys } from "./keys.js";
import { LiveView } from "./live.js";
import { Members } from "./members.js";
import { Panels } from "./panels.js";
import { Refine } from "./refine.js";

const TOKEN = "atomstream-token";
/** Neither a header nor a WebSocket takes anything. */
const WELL_FORMED = /^[\w.-]+$/;

/** Why a token is not let in; null where it is, or where nobody can say. */
async function refusalOf(token) {
  if (token && !WELL_FORMED.test(token)) return new Error("this is no token: it has other characters than letters, digits, dots, hyphens and underscores");
  const problem = await new Api(token).get("/v1/status").then(() => null, (error) => error);
  return problem?.status === 401 || problem?.status === 403 ? problem : null;
}

/** The token that is let in: none where none is needed, the one that is remembered, or one that is asked for. */
async function admitted() {
  let why = "";
  for (;;) {
    const token = sessionStorage.getItem(TOKEN);
    const refusal = await refusalOf(token);
    if (!refusal) return token;
    if (token) why = refusal.message;
    const given = await ask("This service asks for a token", {
      text: why || "`atomstream keys token add` on the service's machine makes one. A viewer's sees, an operator's acts.",
      fields: [{ name: "token", label: "Token", type: "password", required: true }],
      confirm: "Let me in",
      cancel: "",
    });
    if (given) sessionStorage.setItem(TOKEN, given.token.trim());
  }
}

async function start() {
  const header = new Header(document.getElementById("header"), document.getElementById("notices"));
  const token = await admitted();
  const api = new Api(token);
  const connection = new Connection(token);
  const live = new LiveView(document.getElementById("live"), {
    ask: (view, frame) => connection.want(view, frame),
    ring: async () => (await api.get("/v1/ring")).seqs,
    chosen: (frame, number) => {
      if (number >= 0) panels.open("atom");
      inspector.choose(frame, number);
    },
    alarmed: () => panels.open("drift"),
  });
  const members = new Members(api, live);
  const inspector = new Inspector((view, frame) => connection.look(view, frame), () => live.frame);
  const drift = new Drift(api, members, (id) => panels.open(id));
  const ensembles = new Ensembles(api, (id) => panels.open(id));
  const refine = new Refine(api, live, (view, frame) => connection.look(view, frame), (id) => panels.open(id));
  live.overlay = (context, viewport) => refine.overlay(context, viewport);
  const panels = new Panels(document.getElementById("side"), [
    { id: "members", title: "Members", element: members.element, opened: () => members.opened(), closed: () => members.closed() },
    { id: "drift", title: "Drift", element: drift.element, opened: () => drift.opened() },
    { id: "ensembles", title: "Ensembles", element: ensembles.element, opened: () => ensembles.opened(), closed: () => ensembles.closed() },
    { id: "refine", title: "Refine", element: refine.element, opened: () => refine.opened(), closed: () => refine.closed() },
    { id: "atom", title: "Atom", element: inspector.element, opened: () => inspector.opened(), closed: () => inspector.closed() },
  ]);

  connection.addEventListener("link", async ({ detail }) => {
    header.setLink(detail.up);
    // A new page asks for another token.
    if (!detail.up && (await refusalOf(token))) location.reload();
  });
  connection.addEventListener("refused", ({ detail }) => {
    live.refused(detail);
    toast(`Can't be shown: ${detail.message}`, { kind: "bad", topic: "shown" });
  });
  connection.addEventListener("hello", ({ detail }) => {
    header.hello(detail);
    live.setClock(detail.t);
  });
  connection.addEventListener("state", ({ detail }) => {
    header.show(detail);
    live.setMembers(Object.keys(detail.status.members), detail.status.ensemble.generation);
    live.setStreams(detail.status.streams);
    members.show(detail);
    drift.show(detail);
    ensembles.show(detail);
    refine.show(detail);
    live.alarms = drift.alarms;
    panels.mark("drift", drift.alarms.length ? String(drift.alarms.length) : "");
  });
  connection.addEventListener("frame", ({ detail }) => {
    if (!live.takes(detail)) return;
    live.show(detail);
    members.frame(detail);
  });
  document.addEventListener("keydown", (event) => {
    if (isForAnother(event)) return;
    const panel = panels.panels["123456789".indexOf(event.key)];
    if (event.key === " ") event.repeat || live.togglePause();
    else if (event.key === ",") live.step(-1);
    else if (event.key === ".") live.step(1);
    else if (event.key === "?") showKeys();
    else if (live.viewport.press(event.key)) return event.preventDefault();
    else if (panel && event.key) panels.open(panel.id);
    else return;
    event.preventDefault();
  });
  // What was clicked does not keep the keys: space is for pausing.
  document.addEventListener("click", ({ detail, target }) => detail && target.closest("button")?.blur());
  live.request();
  connection.open();
  window.atomstream = { connection, live, members, panels };
}

start();
