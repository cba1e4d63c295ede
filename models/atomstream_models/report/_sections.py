"""The sections of an evaluation's report."""

from __future__ import annotations

from ._parts import Section
from ._picture_sections import means_section, members_section, uncertainty_section
from ._score_sections import frames_section, lattice_section, summary_section
from ._study import Study
from ._trust_sections import agreement_section, calibration_section, convergence_section


def study_sections(study: Study) -> tuple[Section, ...]:
    """All sections that a study has something for, in the order in which they are best read."""
    sections = [
        summary_section(study),
        *(members_section(study, one) for one, _ in study.judged if one.members and one.evaluation.members),
        means_section(study),
        uncertainty_section(study),
        frames_section(study),
        calibration_section(study),
        convergence_section(study),
        agreement_section(study),
        lattice_section(study),
    ]
    return tuple(one for one in sections if one is not None)
