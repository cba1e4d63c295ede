// Every key, on a card; and which keys are meant for something else.

import { el } from "./dom.js";

const KEYS = [
  ["1 to 5", "open a panel"],
  ["q w e r t y …", "take that member out, or put it back, while the members are open"],
  ["space", "pause, and go on live"],
  [", and .", "one frame back, one frame on"],
  ["wheel, + and −", "zoom"],
  ["drag, arrows", "move"],
  ["0, double click", "the whole frame"],
  ["click an atom", "what each member makes of it"],
  ["?", "this card"],
];
const WORDS = [
  ["sees", "how many of the frame's reported atoms a member sees itself"],
  ["drift", "how far a member is from the others: 1× is the median member"],
  ["run beside", "a member runs on every few frames without being used, so that its recovery is seen (shadow)"],
  ["generation", "counts changes of the ensemble and its members; every result names the one that made it"],
  ["wide ring", "members don't agree where the atom is, or whether it is there"],
];
const PRESSES = new Set([" ", "Enter"]);

/** Whether a key is typed into something, presses what has the focus, or belongs to a dialog or the browser. */
export function isForAnother({ key, target, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey || document.querySelector("dialog[open]")) return true;
  return target.matches("textarea, select, input:not([type=checkbox])") || (PRESSES.has(key) && target.matches("button, input"));
}

export function showKeys() {
  const dialog = el(
    "dialog",
    { aria: { label: "Keys and words" }, onclose: () => dialog.remove() },
    el("h2", {}, "Keys"),
    el("dl", { className: "facts" }, KEYS.map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
    el("h2", { className: "section" }, "Words"),
    el("dl", { className: "facts" }, WORDS.map(([word, what]) => [el("dt", {}, word), el("dd", {}, what)])),
    el("form", { method: "dialog", className: "buttons" }, el("button", { className: "primary" }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
