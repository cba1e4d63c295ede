// Tabs, of which one is open.

import { el, fill } from "./dom.js";

/** panels : [{id, title, element, opened, closed}]; keys 1 to 9 open them. */
export class Panels {
  constructor(element, panels) {
    this.panels = panels;
    this.tabs = panels.map((one, k) => el("button", { id: `tab-${one.id}`, role: "tab", title: `Key ${k + 1}`, aria: { controls: one.id, selected: "false" }, onclick: () => this.open(one.id) }, one.title, el("i", { className: "mark" })));
    const list = el("div", { role: "tablist", className: "tabs", aria: { label: "Panels" } }, this.tabs);
    list.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      const at = (this.tabs.indexOf(document.activeElement) + by + this.tabs.length) % this.tabs.length;
      this.tabs[at].focus();
      this.open(panels[at].id);
    });
    for (const one of panels) Object.assign(one.element, { id: one.id, hidden: true, tabIndex: 0 }), one.element.setAttribute("role", "tabpanel"), one.element.setAttribute("aria-labelledby", `tab-${one.id}`);
    element.append(list, ...panels.map((one) => one.element));
    this.open(panels.find((one) => `#${one.id}` === location.hash)?.id ?? panels[0].id);
  }

  get current() {
    return this.panels.find((one) => !one.element.hidden);
  }

  open(id) {
    const before = this.current;
    this.panels.forEach((one, k) => {
      const isOpen = one.id === id;
      one.element.hidden = !isOpen;
      this.tabs[k].setAttribute("aria-selected", String(isOpen));
      this.tabs[k].tabIndex = isOpen ? 0 : -1;
    });
    if (before?.id === id) return;
    history.replaceState(null, "", `#${id}`);
    before?.closed?.();
    this.current.opened?.();
  }

  /** A mark beside a tab's title, such as how many alarms there are. */
  mark(id, text) {
    fill(this.tabs[this.panels.findIndex((one) => one.id === id)].querySelector(".mark"), text);
  }
}
