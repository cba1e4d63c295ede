"""How far an ensemble's doubts can be trusted, as sections of a report."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ._curves import agreement_figure, calibration_figure, convergence_figure
from ._format import share
from ._parts import Cell, Section, Table
from ._study import Study


def calibration_section(study: Study) -> Section | None:
    """Whether the std knows where the ensemble is wrong; None without a truth."""
    known = [(one.name, one.evaluation.calibration, colour) for one, colour in study.judged if one.evaluation.calibration is not None]
    if not known:
        return None
    columns = ["", *(name for name, _, _ in known)]
    rows: list[list[Cell]] = [
        ["AUROC: std against wrong pixels", *(share(one.pixel_auroc) for _, one, _ in known)],
        ["AUROC: the same off the rims of atoms", *(share(one.pixel_auroc_off_rims) for _, one, _ in known)],
        ["AUROC: std of an atom against atoms that aren't there", *(share(one.atom_auroc) for _, one, _ in known)],
        ["wrong pixels, share", *(share(one.wrong_pixels) for _, one, _ in known)],
        ["wrong pixels off the rims, share", *(share(one.wrong_pixels_off_rims) for _, one, _ in known)],
        ["atoms that aren't there, share", *(share(one.wrong_atoms) for _, one, _ in known)],
        ["expected calibration error of pixels", *(share(one.pixels.error) for _, one, _ in known)],
        ["expected calibration error of atoms", *(share(one.atoms.error) for _, one, _ in known)],
    ]
    figure = calibration_figure(
        {name: (one.error_by_std, one.atoms, colour) for name, one, colour in known},
        caption="Left: share of pixels that are wrong, over their std. Right: share of found atoms that are there, over their probability; on the dotted line "
        "a probability means what it says. Bars: 95 % intervals.",
    )
    text = (
        "The area under the receiver operating characteristic (AUROC) is the chance that something wrong has a higher std than something right: 0.5 means that "
        "the std tells nothing, 1 that it tells everything; a dash means that nothing was wrong. A pixel is wrong where the mean says atom outside a disc "
        f"around a true atom, or none inside it. The discs have the found atoms' own median area (radius {known[-1][1].disc_px:.1f} px on the network's grid), "
        "so how probable the rims are is a matter of the masks trained on, and so is much of the pixels' calibration error."
    )
    return Section("What the std is worth", text, (figure,), (Table(columns, rows),))


def convergence_section(study: Study) -> Section | None:
    """How many members the std map needs; None where no ensemble has three."""
    parts = {one.name: (one.evaluation.convergence, colour) for one, colour in study.judged}
    known = {name: (one, colour) for name, (one, colour) in parts.items() if one is not None and len(one.members) > 1}
    if not known:
        return None
    sentences = []
    for name, (one, _) in known.items():
        enough = one.enough(0.9)
        sentences.append(
            f"{name}: from {enough} members on the correlation with all {one.members[-1]} is 0.9 or more." if enough else f"{name}: 0.9 is not reached."
        )
    figure = convergence_figure(
        known,
        caption="Correlation of std maps from random subsets with the std map from all members (solid, with its spread over the subsets), and between subsets "
        "that share no member (dashed).",
    )
    rows = [
        [int(k), *(cell for one, _ in known.values() for cell in (_at(one.members, one.correlation, k), _at(one.members, one.apart, k)))]
        for k in max((one.members for one, _ in known.values()), key=len)
    ]
    columns = ["members", *(heading for name in known for heading in (f"{name}: with all", f"{name}: sharing none"))]
    text = (
        "A subset shares its members with the whole, which lifts the solid curve and takes it to 1 at the end whatever the members are; the dashed curve has "
        "no such help. " + " ".join(sentences)
    )
    return Section("How many members the std needs", text, (figure,), (Table(columns, rows, "Correlation of std maps", folded=True),))


def agreement_section(study: Study) -> Section | None:
    """How far the members agree; None where no ensemble has two."""
    parts = {
        one.name: (one.evaluation.members, one.evaluation.agreement.f1)
        for one, _ in study.judged
        if one.evaluation.agreement is not None and len(one.evaluation.members) > 1
    }
    if not parts:
        return None
    figure = agreement_figure(parts, caption="F1 of each member's own atoms against each other member's, mean over the frames.")
    return Section("Agreement between members", "", (figure,))


def _at(members: NDArray[np.int64], values: NDArray[np.float64], k: int) -> Cell:
    where = np.flatnonzero(members == k)
    return share(float(values[where[0]])) if len(where) else None
