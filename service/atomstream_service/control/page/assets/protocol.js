// The binary message of `WS /v1/live`: u32 length of a JSON header, the header, then the atoms and the pictures that it describes.

export const ATOM_COLUMNS = 10;
export const [Y, X, CLASS, P, P_STD, VOTES, SIGMA_Y, SIGMA_X, AREA, ID] = Array(ATOM_COLUMNS).keys();

/**
 * A frame: {report, live, look, region, atoms, pictures}.
 * atoms : Float32Array, ATOM_COLUMNS numbers an atom
 * pictures : [{use, name, shape: [rows, columns], low, high, data: Uint8Array}]
 */
export function decodeFrame(buffer) {
  const headerBytes = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headerBytes)));
  const start = 4 + headerBytes;
  const [[atomsAt], ...parts] = header.parts;
  const atoms = new Float32Array(buffer, start + atomsAt, header.atoms * ATOM_COLUMNS);
  const pictures = header.pictures.map((one, k) => ({ ...one, data: new Uint8Array(buffer, start + parts[k][0], parts[k][1]) }));
  return { report: header.report, live: header.live, look: header.look, region: header.region, atoms, pictures };
}
