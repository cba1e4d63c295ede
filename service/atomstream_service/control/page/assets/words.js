// What codes mean, in the operator's words.

const FLAGS = {
  rows_missing: "rows missing: the scan was aborted?",
  saturated: "pixels at the detector's full scale: lower the gain or the dose",
  uncalibrated: "pixel size unknown: sizes are in pixels, and the scale was not checked",
  rescaled: "resampled: the pixel size is outside what this ensemble knows",
  blank: "blank frame: nothing to analyse",
  single_member: "one member only: no std",
  degraded: "fewer members than enabled: there was no time, or one failed",
  unselected: "trained on simulated images, and nobody has chosen members yet",
  drift: "drift: a member, the scene or the instrument has changed",
};

export const flag = (code) => FLAGS[code] ?? code;

export const MEMBER_STATES = {
  enabled: "in use",
  shadow: "runs beside, not used",
  disabled: "taken out",
  quarantined: "in quarantine until acknowledged",
  failed: "its run failed",
};

const ENGINE_STATES = {
  starting: "the engine is starting",
  ready: "running",
  restarting: "the engine has ended and is being started again; frames are not answered meanwhile",
  unresponsive: "the engine does not answer; it is being seen to",
  stopped: "the engine has stopped",
};

export const engineState = (code) => ENGINE_STATES[code] ?? code;

const SIGNALS = {
  divergence: "disagrees with the others on the probability maps",
  misplaced: "disagrees with the others on where atoms are",
  count: "disagrees with the others on how many atoms there are",
  agreement: "members disagree more than before",
  spread: "the members' std has grown",
  level: "the brightness has changed",
  contrast: "the contrast has changed",
  noise: "the noise has changed",
  lattice: "the lattice's peaks have changed",
  jitter: "differences between scan lines have changed",
};

/** What raised an alarm. */
export const signal = (code) => SIGNALS[code] ?? code;

const LAYERS = { frame: "Frame", mean: "Mean probability", std: "Standard deviation" };

export const layer = (name) => LAYERS[name] ?? name.replace("member:", "Member ");

export const layerUnit = (name) => (name === "frame" ? "counts" : name === "std" ? "std of probability" : "probability");

const DROPS = { source_gap: "never arrived", queue: "made way for newer ones", late: "came after newer ones", rejected: "could not be processed" };

export const drop = (where) => DROPS[where] ?? where;
