// Elements, short messages and questions.

/** What listens to an element that `el` made: [event, function]. */
const LISTENERS = new WeakMap();

function listen(element, listeners) {
  for (const [event, act] of LISTENERS.get(element) ?? []) element.removeEventListener(event, act);
  for (const [event, act] of listeners) element.addEventListener(event, act);
  LISTENERS.set(element, listeners);
}

/** Children without those that are left out. */
const present = (children) => children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);

/**
 * An element: `properties` are set on it, `on…` functions listen, `data` and `aria` are attributes, `acts` is the role that it is for; children may be text.
 * The second click of a double click does nothing on what acts.
 */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  const listeners = [];
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) listeners.push([name.slice(2), name === "onclick" && properties.acts ? (event) => event.detail > 1 || value(event) : value]);
    else if (name === "acts") made.dataset.acts = value;
    else if (name === "data") Object.assign(made.dataset, value);
    else if (name === "aria") for (const [key, said] of Object.entries(value)) made.setAttribute(`aria-${key}`, said);
    else if (name in made && name !== "list" && name !== "role") made[name] = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  listen(made, listeners);
  made.append(...present(children));
  return made;
}

/** Give an element these children, and leave it alone where they are the text that it has already. */
export function fill(parent, ...children) {
  if (children.length === 1 && typeof children[0] === "string") {
    if (parent.textContent !== children[0]) parent.textContent = children[0];
    return parent;
  }
  parent.replaceChildren(...present(children));
  return parent;
}

/** Whether one takes the place of the other: nothing under the pointer becomes something else, so rows have a `data-key`, and buttons their words. */
function isSame(one, other) {
  if (one.nodeName !== other.nodeName || one.dataset?.key !== other.dataset?.key) return false;
  return one.nodeName !== "BUTTON" || one.textContent === other.textContent;
}

function become(there, wanted) {
  if (there.nodeType === Node.TEXT_NODE) {
    if (there.data !== wanted.data) there.data = wanted.data;
    return;
  }
  for (const { name } of [...there.attributes]) if (!wanted.hasAttribute(name)) there.removeAttribute(name);
  for (const { name, value } of wanted.attributes) if (there.getAttribute(name) !== value) there.setAttribute(name, value);
  listen(there, LISTENERS.get(wanted) ?? []);
  renew(there, ...wanted.childNodes);
}

/**
 * Give an element these children, of which those that are there already stay, with what is new about them: what has the focus, or is being pressed, is not
 * taken from under a hand by news of something else. No reference to a child may be kept.
 */
export function renew(parent, ...children) {
  const wanted = present(children);
  const there = [...parent.childNodes];
  const next = wanted.map((child) => {
    const made = child instanceof Node ? child : document.createTextNode(child);
    const at = there.findIndex((one) => isSame(one, made));
    if (at < 0) return made;
    const [kept] = there.splice(at, 1);
    become(kept, made);
    return kept;
  });
  for (const one of there) one.remove();
  next.forEach((one, k) => parent.childNodes[k] === one || parent.insertBefore(one, parent.childNodes[k] ?? null));
  return parent;
}

const TOAST_MS = 15000;
const MOST_TOASTS = 3;

/**
 * A message that goes away by itself unless it is to stay, with one thing to do about it where there is one: {label, act}.
 * topic : a later message on the same one takes its place, so that nobody undoes what is no longer so
 */
export function toast(text, { kind = "info", action = null, stays = false, topic = "", title } = {}) {
  const box = el("div", { className: `toast ${kind}`, title, data: { topic } }, el("span", {}, text));
  const shown = [...document.querySelectorAll("#toasts .toast")];
  for (const [k, one] of shown.entries()) if ((topic && one.dataset.topic === topic) || k <= shown.length - MOST_TOASTS) one.remove();
  const close = () => box.remove();
  if (action) box.append(el("button", { onclick: () => { close(); action.act(); } }, action.label));
  box.append(el("button", { className: "quiet", aria: { label: "Close this message" }, onclick: close }, "✕"));
  document.getElementById("toasts").append(box);
  if (!stays) setTimeout(close, TOAST_MS);
  return box;
}

/**
 * Ask for some values in a dialog.
 * fields : {name, label, type, value, hint, required}; type "text" unless given
 * Answers {name: value}, or null where it was called off.
 */
export function ask(title, { text = "", fields = [], confirm = "OK", cancel = "Cancel" } = {}) {
  return new Promise((resolve) => {
    const inputs = fields.map(({ label, hint, ...field }) => ({ label, hint, input: el("input", { type: "text", autocomplete: "off", ...field }) }));
    const form = el(
      "form",
      { method: "dialog" },
      el("h2", {}, title),
      text && el("p", {}, text),
      inputs.map(({ label, hint, input }) => el("label", { className: "field" }, el("span", {}, label), input, hint && el("small", {}, hint))),
      el("div", { className: "buttons" }, cancel && el("button", { type: "button", onclick: () => dialog.close() }, cancel), el("button", { className: "primary", value: "yes" }, confirm)),
    );
    const dialog = el("dialog", { aria: { label: title } }, form);
    dialog.addEventListener("close", () => {
      dialog.remove();
      resolve(dialog.returnValue === "yes" ? Object.fromEntries(inputs.map(({ input }) => [input.name, input.value])) : null);
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
