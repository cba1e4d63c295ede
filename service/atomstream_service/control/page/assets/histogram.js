// A histogram drawn on a canvas.

const BINS = 40;
const MARGIN = { left: 8, right: 8, top: 6, bottom: 18 };

/** Draw how often values occur; the median is marked. values : finite numbers; text(value) : an axis label. */
export function drawHistogram(canvas, values, text, colour) {
  const density = devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  canvas.width = width * density;
  canvas.height = height * density;
  const context = canvas.getContext("2d");
  context.scale(density, density);
  if (!values.length) return;
  const sorted = Float64Array.from(values).sort();
  const [low, high] = [sorted[Math.floor(0.005 * (sorted.length - 1))], sorted[Math.ceil(0.995 * (sorted.length - 1))]];
  const span = high - low || 1;
  const bins = new Array(BINS).fill(0);
  for (const value of sorted) if (value >= low && value <= high) bins[Math.min(BINS - 1, Math.floor((BINS * (value - low)) / span))]++;
  const top = Math.max(...bins);
  const inner = width - MARGIN.left - MARGIN.right;
  const tall = height - MARGIN.top - MARGIN.bottom;
  context.fillStyle = colour;
  bins.forEach((count, k) => context.fillRect(MARGIN.left + (k * inner) / BINS, MARGIN.top + tall * (1 - count / top), inner / BINS - 1, (tall * count) / top));
  const style = getComputedStyle(canvas);
  context.fillStyle = context.strokeStyle = style.color;
  context.font = "11px system-ui";
  context.textBaseline = "bottom";
  const median = sorted[sorted.length >> 1];
  const x = MARGIN.left + (inner * (median - low)) / span;
  context.setLineDash([3, 3]);
  context.beginPath();
  context.moveTo(x, MARGIN.top);
  context.lineTo(x, MARGIN.top + tall);
  context.stroke();
  for (const [value, at, align] of [[low, MARGIN.left, "left"], [high, width - MARGIN.right, "right"]]) {
    context.textAlign = align;
    context.fillText(text(value), at, height - 2);
  }
  context.textAlign = x > width / 2 ? "right" : "left";
  context.fillText(` median ${text(median)} `, x, height - 2 - (Math.abs(x - width / 2) > 0.3 * width ? 14 : 0));
}
