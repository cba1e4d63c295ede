"""How a simulated microscope drifts: imaging and noise as functions of how bad things have become."""

from __future__ import annotations

from dataclasses import dataclass

from ._imaging import Imaging, Noise


@dataclass(frozen=True)
class Drift:
    """A quantity that starts at `start` and has risen by `rise` when the drift is complete."""

    start: float
    rise: float

    def at(self, severity: float) -> float:
        """Its value at a severity of 0 to 1."""
        return self.start + self.rise * severity


@dataclass(frozen=True)
class Conditions:
    """Imaging conditions from mild (severity 0) to hard (1); lengths and brightness as in `Imaging` and `Noise`.

    probe_y_nm, probe_x_nm, line_jitter_px, background_swing : drifting quantities
    background, readout : constant
    counts_per_host : at the start; falls to the share `dose_left` of it, geometrically
    """

    probe_y_nm: Drift
    probe_x_nm: Drift
    line_jitter_px: Drift
    background_swing: Drift
    background: float
    counts_per_host: float
    dose_left: float = 0.06
    readout: float = 0.02

    def imaging(self, severity: float, pixel_nm: float, shape: tuple[int, int]) -> Imaging:
        """How the probe sees the specimen at this severity."""
        return Imaging(
            pixel_nm=pixel_nm,
            shape=shape,
            probe_nm=(self.probe_y_nm.at(severity), self.probe_x_nm.at(severity)),
            line_jitter_px=self.line_jitter_px.at(severity),
            background=self.background,
            background_swing=self.background_swing.at(severity),
        )

    def noise(self, severity: float) -> Noise:
        """What the detector adds at this severity."""
        return Noise(counts_per_host=self.counts_per_host * (self.dose_left**severity), readout=self.readout)


GRAPHENE_CONDITIONS = Conditions(Drift(0.040, 0.012), Drift(0.040, 0.018), Drift(0.2, 0.8), Drift(0.1, 0.5), background=0.6, counts_per_host=60.0)

COLUMN_CONDITIONS = Conditions(Drift(0.045, 0.012), Drift(0.045, 0.018), Drift(0.2, 0.8), Drift(0.05, 0.25), background=0.3, counts_per_host=200.0)
"""For crystals a few nanometres thick, whose columns scatter more than single atoms."""

MONOLAYER_CONDITIONS = Conditions(Drift(0.045, 0.012), Drift(0.045, 0.018), Drift(0.2, 0.8), Drift(0.05, 0.3), background=0.3, counts_per_host=120.0)
"""For a sheet of atoms as heavy as molybdenum."""
