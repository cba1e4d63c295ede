// Atoms of a frame: drawing them, finding the one that was meant, and how far apart they lie.

import { classColour } from "./colours.js";
import { AREA, ATOM_COLUMNS, CLASS, P_STD, SIGMA_X, SIGMA_Y, X, Y } from "./protocol.js";

const LEAST_RADIUS = 2;
const ROUNDER = 1.15;

export const countOf = (atoms) => atoms.length / ATOM_COLUMNS;

export const rowOf = (atoms, k) => atoms.subarray(k * ATOM_COLUMNS, (k + 1) * ATOM_COLUMNS);

/** One column of all atoms. */
export const columnOf = (atoms, column) => Array.from({ length: countOf(atoms) }, (_, k) => atoms[k * ATOM_COLUMNS + column]);

/** How unsure an atom is, 0 to 1: by what the members make of its position, in units of its own radius, and of its probability. */
export function uncertainty(row) {
  const radius = Math.sqrt(row[AREA] / Math.PI);
  const sigma = Math.hypot(row[SIGMA_Y], row[SIGMA_X]) / Math.max(radius, 1);
  return Math.min(1, Math.max(Number.isFinite(sigma) ? sigma : 0, Number.isFinite(row[P_STD]) ? 2 * row[P_STD] : 0));
}

/** Circles around the atoms that are to be seen, coloured by class; the more unsure one is, the wider its halo. */
export function drawAtoms(context, atoms, viewport, { halo, chosen = -1 }) {
  const { width, height, scale } = viewport;
  const byClass = new Map();
  for (let at = 0, k = 0; at < atoms.length; at += ATOM_COLUMNS, k++) {
    const [x, y] = viewport.toScreen(atoms[at + Y], atoms[at + X]);
    const radius = Math.max(LEAST_RADIUS, ROUNDER * Math.sqrt(atoms[at + AREA] / Math.PI) * scale);
    if (x < -radius || y < -radius || x > width + radius || y > height + radius) continue;
    const kind = atoms[at + CLASS];
    if (!byClass.has(kind)) byClass.set(kind, { circles: new Path2D(), halos: new Path2D() });
    const { circles, halos } = byClass.get(kind);
    circles.moveTo(x + radius, y);
    circles.arc(x, y, radius, 0, 2 * Math.PI);
    const unsure = halo ? uncertainty(rowOf(atoms, k)) : 0;
    if (unsure > 0.05) {
      const outer = radius * (1 + 1.5 * unsure);
      halos.moveTo(x + outer, y);
      halos.arc(x, y, outer, 0, 2 * Math.PI);
    }
    if (k === chosen) {
      context.lineWidth = 3;
      context.strokeStyle = "#ffffff";
      context.strokeRect(x - 1.6 * radius, y - 1.6 * radius, 3.2 * radius, 3.2 * radius);
    }
  }
  for (const [kind, { circles, halos }] of byClass) {
    context.strokeStyle = classColour(kind);
    context.lineWidth = 1;
    context.globalAlpha = 0.45;
    context.stroke(halos);
    context.globalAlpha = 1;
    context.lineWidth = Math.min(2, Math.max(1, scale / 2));
    context.stroke(circles);
  }
}

/** Number of the atom nearest to a position, where that lies in it or at most `reach` pixels from its centre; -1 for none. */
export function nearestTo(atoms, y, x, reach) {
  let nearest = -1;
  let least = Infinity;
  for (let at = 0, k = 0; at < atoms.length; at += ATOM_COLUMNS, k++) {
    const apart = (atoms[at + Y] - y) ** 2 + (atoms[at + X] - x) ** 2;
    if (apart < least) [nearest, least] = [k, apart];
  }
  const radius = nearest < 0 ? 0 : ROUNDER * Math.sqrt(rowOf(atoms, nearest)[AREA] / Math.PI);
  return Math.sqrt(least) <= Math.max(reach, radius) ? nearest : -1;
}

/** Distance from each atom to its nearest neighbour, in the unit of a pixel's size (down, across); Infinity for a lone one. */
export function neighbourDistances(atoms, [down, across] = [1, 1]) {
  const n = countOf(atoms);
  const order = Array.from({ length: n }, (_, k) => k).sort((a, b) => atoms[a * ATOM_COLUMNS + Y] - atoms[b * ATOM_COLUMNS + Y]);
  const distances = new Float64Array(n).fill(Infinity);
  for (let i = 0; i < n; i++) {
    const a = order[i] * ATOM_COLUMNS;
    for (let j = i + 1; j < n; j++) {
      const b = order[j] * ATOM_COLUMNS;
      const dy = (atoms[b + Y] - atoms[a + Y]) * down;
      if (dy >= distances[order[i]] && dy >= 64 * down) break;
      const apart = Math.hypot(dy, (atoms[b + X] - atoms[a + X]) * across);
      if (apart < distances[order[i]]) distances[order[i]] = apart;
      if (apart < distances[order[j]]) distances[order[j]] = apart;
      if (dy > distances[order[i]] && dy > distances[order[j]]) break;
    }
  }
  return distances;
}
