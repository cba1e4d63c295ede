// Numbers with their units, for people.

const round = (value, digits) => (Number.isFinite(value) ? value.toFixed(digits) : "–");

export const number = (value, digits = 3) => (Number.isFinite(value) ? Number(value.toPrecision(digits)).toString() : "–");
export const ms = (value) => (Number.isFinite(value) ? `${round(value, value < 10 ? 1 : 0)} ms` : "– ms");
export const perSecond = (value) => `${round(value, value < 10 ? 1 : 0)} frames/s`;
export const percent = (share, digits = 0) => (Number.isFinite(share) ? `${(100 * share).toFixed(digits)} %` : "– %");
export const nm = (value) => (Number.isFinite(value) ? `${number(value)} nm` : "– nm");
export const pm = (value) => (Number.isFinite(value) ? `${round(value, value < 10 ? 1 : 0)} pm` : "– pm");
export const px = (value) => (Number.isFinite(value) ? `${round(value, 2)} px` : "– px");

export function bytes(value) {
  if (!Number.isFinite(value)) return "– MB";
  if (value < 1e6) return `${round(value / 1e3, 0)} kB`;
  return value < 1e9 ? `${round(value / 1e6, 0)} MB` : `${round(value / 1e9, 2)} GB`;
}

/** How long ago, of seconds. */
export function ago(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds < 10) return `${Math.max(0, seconds).toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  if (seconds < 7200) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** 07:05:01, and 2026-11-26 07:05:01, of seconds since the epoch, as every country reads them. */
export const day = (t) => new Date(1000 * t).toLocaleString("sv-SE");
export const clock = (t) => day(t).slice(-8);

const NM = { nm: 1, um: 1000, "µm": 1000, "μm": 1000, mm: 1e6, m: 1e9, pm: 0.001, A: 0.1, "Å": 0.1, angstrom: 0.1 };

/** Pixel size (y, x) in nm of a frame's report; null where it is unknown or no length. */
export function pixelNm({ pixel_size: size, pixel_unit: unit }) {
  const factor = NM[unit];
  return size && factor ? size.map((one) => one * factor) : null;
}

/** The longest of 1, 2 or 5 times a power of ten that is not longer than `most`, in nm, with its text. */
export function scaleBar(most) {
  const power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].map((k) => k * power).find((one) => one <= most) ?? power;
  return { length, text: length < 0.999 ? `${Number((1000 * length).toPrecision(3))} pm` : length >= 1000 ? `${length / 1000} µm` : `${Number(length.toPrecision(3))} nm` };
}
