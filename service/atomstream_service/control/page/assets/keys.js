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
const PRESSES = new Set([" ", "Enter"]);

/** Whether a key is typed into something, presses what has the focus, or belongs to a dialog or the browser. */
export function isForAnother({ key, target, ctrlKey, metaKey, altKey }) {
  if (ctrlKey || metaKey || altKey || document.querySelector("dialog[open]")) return true;
  return target.matches("textarea, select, input:not([type=checkbox])") || (PRESSES.has(key) && target.matches("button, input"));
}

export function showKeys() {
  const dialog = el(
    "dialog",
    { aria: { label: "Keys" }, onclose: () => dialog.remove() },
    el("h2", {}, "Keys"),
    el("dl", { className: "facts" }, KEYS.map(([key, what]) => [el("dt", {}, el("kbd", {}, key)), el("dd", {}, what)])),
    el("form", { method: "dialog", className: "buttons" }, el("button", { className: "primary" }, "Close")),
  );
  document.body.append(dialog);
  dialog.showModal();
}
