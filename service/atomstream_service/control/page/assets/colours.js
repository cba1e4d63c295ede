// Colour maps of even lightness, and colours that the colour-blind tell apart.

const CIVIDIS = "00224e 002e6a 1a386f 32436d 434e6c 535a6d 61656f 6f7073 7d7c78 8c8878 9b9476 aba072 bcae6c cdbb63 dec958 f0d846 fee838";
const MAGMA = "000004 0a0822 1d1147 36106b 51127c 6a1c81 832681 9c2e7f b73779 d0416f e75263 f56b5c fc8961 fea772 fec488 fde2a3 fcfdbf";
const GREY = "000000 ffffff";

/** Okabe and Ito's, for classes of atoms. */
export const CLASS_COLOURS = ["#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#f0e442", "#d55e00"];

export const classColour = (number) => CLASS_COLOURS[number % CLASS_COLOURS.length];

/** 256 colours as the pixels of an image have them (little-endian RGBA), between evenly spaced ones. */
function ramp(text) {
  const points = text.split(" ").map((hex) => [0, 2, 4].map((at) => parseInt(hex.slice(at, at + 2), 16)));
  return Uint32Array.from({ length: 256 }, (_, k) => {
    const at = (k / 255) * (points.length - 1);
    const first = Math.min(Math.floor(at), points.length - 2);
    const [r, g, b] = points[first].map((value, c) => Math.round(value + (at - first) * (points[first + 1][c] - value)));
    return (255 << 24) | (b << 16) | (g << 8) | r;
  });
}

/** By the kind of layer: the frame in grey, probabilities in cividis, standard deviations in magma. */
export const RAMPS = { frame: ramp(GREY), probability: ramp(CIVIDIS), std: ramp(MAGMA) };

export const rampOf = (layer) => (layer === "frame" ? RAMPS.frame : layer === "std" ? RAMPS.std : RAMPS.probability);

/** A picture of bytes as a canvas. */
export function painted({ shape: [rows, columns], data }, colours, canvas = new OffscreenCanvas(columns, rows)) {
  if (canvas.width !== columns) canvas.width = columns;
  if (canvas.height !== rows) canvas.height = rows;
  const context = canvas.getContext("2d");
  const image = context.createImageData(columns, rows);
  const pixels = new Uint32Array(image.data.buffer);
  for (let k = 0; k < pixels.length; k++) pixels[k] = colours[data[k]];
  context.putImageData(image, 0, 0);
  return canvas;
}
