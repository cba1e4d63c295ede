"""Reports: one HTML file with figures and tables, made of sections that any script can put together."""

from ._card import card_section, card_tables
from ._curves import Line, agreement_figure, calibration_figure, convergence_figure, frames_figure, neighbours_figure
from ._draw import canvas, drawn, saved
from ._format import counted
from ._maps import Region, Stage, StageRow, regions_figure, stages_figure, uncertain_window
from ._members import MembersRow, members_figure
from ._parts import Cell, Figure, Section, Table, cell_text
from ._picture_sections import means_section, members_section, uncertainty_section
from ._score_sections import frames_section, lattice_section, summary_section
from ._sections import study_sections
from ._study import Baseline, Judged, Study, baseline_of
from ._trust_sections import agreement_section, calibration_section, convergence_section
from ._write import require_packages, write_report

__all__ = [
    "Baseline",
    "Cell",
    "Figure",
    "Judged",
    "Line",
    "MembersRow",
    "Region",
    "Section",
    "Stage",
    "StageRow",
    "Study",
    "Table",
    "agreement_figure",
    "agreement_section",
    "baseline_of",
    "calibration_figure",
    "calibration_section",
    "canvas",
    "card_section",
    "card_tables",
    "cell_text",
    "convergence_figure",
    "convergence_section",
    "counted",
    "drawn",
    "frames_figure",
    "frames_section",
    "lattice_section",
    "means_section",
    "members_figure",
    "members_section",
    "neighbours_figure",
    "regions_figure",
    "require_packages",
    "saved",
    "stages_figure",
    "study_sections",
    "summary_section",
    "uncertain_window",
    "uncertainty_section",
    "write_report",
]
