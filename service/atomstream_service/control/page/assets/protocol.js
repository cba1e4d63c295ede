// The binary message of `WS /v1/live`: u32 length of a JSON header, the header, then the atoms and the pictures that it describes.

export const ATOM_COLUMNS = 10;
export const [Y, X, CLASS, P, P_STD, VOTES, SIGMA_Y, SIGMA_X, AREA, ID] = Array(ATOM_COLUMNS).keys();

/**
 * A frame: {report, live, look, region, layers, votes, again, no_maps, atoms, pictures, seen, brightness}, the first eight as `viewed` of the service's engine says them.
 * atoms : Float32Array, ATOM_COLUMNS numbers an atom
 * pictures : [{use, name, shape: [rows, columns], low, high, data: Uint8Array}]
 * seen : Uint8Array, for each member of `votes` which atoms it sees; undefined unless it was asked for
 * brightness : Float32Array, counts of each atom above its surroundings, NaN where they were not measured; undefined unless it was asked for
 */
export function decodeFrame(buffer) {
  const headerBytes = new DataView(buffer).getUint32(0, true);
  const { parts, extras, ...header } = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, headerBytes)));
  const start = 4 + headerBytes;
  const bytes = (k) => new Uint8Array(buffer, start + parts[k][0], parts[k][1]);
  const atoms = new Float32Array(buffer, start + parts[0][0], header.atoms * ATOM_COLUMNS);
  const pictures = header.pictures.map((one, k) => ({ ...one, data: bytes(1 + k) }));
  const frame = { ...header, atoms, pictures };
  extras.forEach((name, k) => (frame[name] = bytes(1 + pictures.length + k)));
  if (frame.brightness) frame.brightness = new Float32Array(buffer, frame.brightness.byteOffset, frame.brightness.byteLength / 4);
  return frame;
}
