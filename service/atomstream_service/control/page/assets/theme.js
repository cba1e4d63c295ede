// Dark or light, as the machine has it until somebody chooses here.

const KEY = "theme";

export function applyTheme() {
  document.documentElement.dataset.theme = localStorage.getItem(KEY) ?? (matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark");
}

/** What is drawn on a canvas is drawn again on the event `theme`. */
export function toggleTheme() {
  localStorage.setItem(KEY, document.documentElement.dataset.theme === "dark" ? "light" : "dark");
  applyTheme();
  document.dispatchEvent(new Event("theme"));
}

/** A colour of the style sheet, by the name of its variable. */
export const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
