// Dark or light, as the machine has it until somebody chooses here.

const KEY = "theme";
const machine = matchMedia("(prefers-color-scheme: light)");

/** What is drawn on a canvas is drawn again on the event `theme`. */
function apply() {
  document.documentElement.dataset.theme = localStorage.getItem(KEY) ?? (machine.matches ? "light" : "dark");
  document.dispatchEvent(new Event("theme"));
}

export function followTheme() {
  machine.addEventListener("change", apply);
  apply();
}

export function toggleTheme() {
  localStorage.setItem(KEY, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  apply();
}

/** A colour of the style sheet, by the name of its variable. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
