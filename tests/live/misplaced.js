// What is cut off, sticks out of what holds it, or overlaps something else, as sentences.
() => {
  const wrong = [];
  const name = (one) => `${one.tagName.toLowerCase()}${one.className ? "." + one.className : ""} "${(one.textContent || one.value || "").slice(0, 40)}"`;
  const box = (one) => { const r = one.getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom]; };
  const cut = (a, b) => [Math.max(a[0], b[0]), Math.max(a[1], b[1]), Math.min(a[2], b[2]), Math.min(a[3], b[3])];
  const scrolls = (one) => getComputedStyle(one).overflow !== "visible";
  const ancestors = (one) => { const all = []; for (let up = one.parentElement; up; up = up.parentElement) all.push(up); return all; };
  const shown = (one) => ancestors(one).filter(scrolls).reduce((area, up) => cut(area, box(up)), cut(box(one), [0, 0, innerWidth, innerHeight]));
  const says = (one) => [...one.childNodes].some((child) => child.nodeType === Node.TEXT_NODE && child.textContent.trim());
  const isLeaf = (one) => says(one) || one.matches("button, input, select, progress");
  const leaves = [...document.querySelectorAll("body *")].filter((one) => one.checkVisibility() && !one.closest("#toasts, svg, noscript") && isLeaf(one));

  if (document.scrollingElement.scrollHeight > innerHeight || document.scrollingElement.scrollWidth > innerWidth) wrong.push("the page scrolls");
  for (const panel of document.querySelectorAll("[role=tabpanel]:not([hidden])")) if (panel.scrollWidth > panel.clientWidth) wrong.push(`the panel ${panel.id} scrolls sideways`);
  for (const one of leaves) {
    const [left, , right] = box(one);
    for (const up of ancestors(one)) {
      if (up.matches(".filmstrip, .tabs")) break;
      const [from, , to] = box(up);
      if (left < from - 1.5 || right > to + 1.5) { wrong.push(`${name(one)} sticks out of ${name(up)}`); break; }
    }
    if (one.scrollWidth > one.clientWidth + 1 && one.clientWidth && scrolls(one) && !one.matches("select, input")) wrong.push(`${name(one)} is cut off`);
  }
  for (let k = 0; k < leaves.length; k++) {
    for (let j = k + 1; j < leaves.length; j++) {
      const [a, b] = [leaves[k], leaves[j]];
      if (a.contains(b) || b.contains(a)) continue;
      if (document.querySelector("dialog[open]") && !(a.closest("dialog") && b.closest("dialog"))) continue;
      const [left, top, right, bottom] = cut(shown(a), shown(b));
      if (right - left > 2 && bottom - top > 2) wrong.push(`${name(a)} overlaps ${name(b)}`);
    }
  }
  return wrong;
}
