// Who this page acts for, and what that allows.

const ORDER = ["viewer", "operator", "admin"];

/** What acts carries `data-acts`, the least role that it needs, and is not shown to those who have less. */
export function setRole(role) {
  document.body.dataset.role = role ?? "";
}

export const may = (needed) => ORDER.indexOf(document.body.dataset.role) >= ORDER.indexOf(needed);
