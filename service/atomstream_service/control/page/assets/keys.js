// Every key, on a card.

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
