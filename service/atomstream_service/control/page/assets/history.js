// How drift stood over the last frames, kept in the page.

const MOST = 600;
const share = (value) => Math.max(1 + value, 0.01);
/** What the service says of the frames' statistics, shares, decades and a logarithm, as factors. */
const FACTOR_OF = { level: share, contrast: share, noise: share, lattice: (value) => 10 ** value, jitter: Math.exp };

/** Points by source: seq, and a factor for each series; null where a frame told nothing. */
export class DriftHistory {
  #sources = new Map();

  /** Take note of how every source stands; a frame that is known already changes nothing. */
  add(sources) {
    for (const [source, standing] of Object.entries(sources)) {
      if (standing.seq === null) continue;
      const kept = this.#sources.get(source);
      if (!kept || standing.seq < kept.seqs.at(-1) || Object.keys(standing.members).join() !== kept.members.join()) {
        this.#sources.set(source, { seqs: [], members: Object.keys(standing.members), series: new Map() });
      } else if (standing.seq === kept.seqs.at(-1)) continue;
      this.#note(this.#sources.get(source), standing);
    }
  }

  /** {seqs, members, series: Map(name -> values)}; null for a source that nothing is known of. */
  of(source) {
    return this.#sources.get(source) ?? null;
  }

  #note(kept, standing) {
    kept.seqs.push(standing.seq);
    const values = new Map();
    for (const [member, one] of Object.entries(standing.members)) values.set(`member:${member}`, one.used ? one.ratio : null);
    for (const [name, signal] of Object.entries(standing.scene.signals)) values.set(`scene:${name}`, signal.change);
    for (const [name, signal] of Object.entries(standing.instrument.signals)) values.set(`instrument:${name}`, signal.change === null ? null : FACTOR_OF[name](signal.change));
    const known = kept.seqs.length - 1;
    for (const [name, value] of values) {
      if (!kept.series.has(name)) kept.series.set(name, Array(known).fill(null));
      kept.series.get(name).push(Number.isFinite(value) ? value : null);
    }
    if (kept.seqs.length > MOST) {
      kept.seqs.shift();
      for (const series of kept.series.values()) series.shift();
    }
  }
}
