"""Counts, scores and distances as sections of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ..evaluation import Detection, Evaluation
from ..neighbours import nearest_px
from ._curves import Line, frames_figure, neighbours_figure
from ._draw import OTHER
from ._format import counted, fixed, share
from ._parts import Cell, Section, Table
from ._study import Judged, Study


def summary_section(study: Study) -> Section:
    """The figures that matter most, one column an ensemble."""
    named = [(one.name, one.evaluation) for one, _ in study.judged]
    columns = [name for name, _ in named]
    rows: list[list[Cell]] = [["frames", *(len(one.frames) for _, one in named)], ["atoms found", *(sum(len(f.atoms) for f in one.frames) for _, one in named)]]
    scores = [one.overall for _, one in named]
    if study.baseline is not None:
        columns.append(study.baseline.name)
        rows[0].append(len(study.baseline.atoms))
        rows[1].append(sum(len(one) for one in study.baseline.atoms.values()))
        scores.append(study.baseline.overall)
    if any(one is not None for one in scores):
        rows += _score_rows(scores)
    dash: list[Cell] = [None] * (study.baseline is not None)
    blank = [sum("blank" in frame.flags for frame in one.frames) for _, one in named]
    if any(blank):
        rows.insert(1, ["blank frames", *blank, *dash])
    rows += [
        ["F1 between members, mean of pairs", *(share(None if one.agreement is None else one.agreement.mean_f1) for _, one in named), *dash],
        ["IoU between members, mean of pairs", *(share(None if one.agreement is None else one.agreement.mean_iou) for _, one in named), *dash],
        ["median std in the foreground", *(share(one.median_std) for _, one in named), *dash],
    ]
    classes = _class_table(study)
    return Section("Summary", _summary_text(study), tables=[Table(("", *columns), rows), *([classes] if classes else [])])


def frames_section(study: Study) -> Section | None:
    """Figures of every frame; None for a single one."""
    if len(study.ensemble.evaluation.frames) < 2:
        return None
    figures, columns, rows = [], ["frame"], []
    scored = study.ensemble.evaluation.overall is not None
    lines = [_line(one, colour, scored) for one, colour in study.judged]
    if study.baseline is not None:
        points = {k: one.f1 for k, one in study.baseline.scores.items()} if scored else {k: float(len(one)) for k, one in study.baseline.atoms.items()}
        lines.append(Line(study.baseline.name, OTHER, points))
    label = "F1" if scored else "atoms found"
    figures.append(frames_figure(lines, label, top=1.0 if scored else None, caption=f"{label[0].upper()}{label[1:]} in every frame."))
    stds = [Line(one.name, colour, {f.frame: f.median_std for f in one.evaluation.frames}) for one, colour in study.judged]
    figures.append(frames_figure(stds, "median std", caption="Median of the std over the foreground pixels of every frame."))
    columns += [f"{label}, {line.name}" for line in lines] + [f"median std, {line.name}" for line in stds] + ["flags"]
    for one in study.ensemble.evaluation.frames:
        values = [line.points.get(one.frame) for line in lines]
        shown: list[Cell] = [share(value) if scored else _count(value) for value in values]
        rows.append([one.frame, *shown, *(share(line.points.get(one.frame)) for line in stds), ", ".join(one.flags)])
    return Section("Frame by frame", "", figures, (Table(columns, rows, "Figures of every frame", folded=True),))


def lattice_section(study: Study) -> Section | None:
    """Distances between neighbours; None where fewer than two atoms were found."""
    parts = {one.name: (one.evaluation.nearest_px, colour) for one, colour in study.judged}
    if study.baseline is not None:
        distances = [nearest_px(one) for one in study.baseline.atoms.values()]
        parts[study.baseline.name] = (np.concatenate(distances) if distances else np.empty(0), OTHER)
    parts = {name: part for name, part in parts.items() if len(part[0])}
    if not parts:
        return None
    unit, name = (1.0, "px") if study.pixel_nm is None else (study.pixel_nm, "nm")
    rows: list[list[Cell]] = [[key, f"{np.median(one) * unit:.4g}", f"{_mad(one) * unit:.3g}", len(one)] for key, (one, _) in parts.items()]
    table = Table(("", f"median ({name})", f"spread ({name})", "atoms"), rows, "Nearest neighbours")
    figure = neighbours_figure(parts, study.pixel_nm, caption="Distance of each found atom to its nearest neighbour. The last bin holds what lies beyond.")
    text = "The spread is the median absolute deviation times 1.48. Atoms closer than the lattice allows are doubled or not there."
    return Section("Lattice", text, (figure,), (table,))


def _summary_text(study: Study) -> str:
    one = study.ensemble.evaluation
    known = f"{sum(frame.overall is not None for frame in one.frames)} with a truth" if one.overall is not None else "no truth is given"
    text = f"{one.name}, {_asked(one)}, on {counted(len(one.frames), 'frame')}; {known}."
    if study.before is not None:
        text += f" Before: {study.before.evaluation.name}, {_asked(study.before.evaluation)}."
    if study.truths:
        radii = [truth.match_px for truth in study.truths.values()]
        text += f" An atom is found where it lies within {np.median(radii):.3g} px of a true one."
    if study.baseline is not None and study.baseline.about:
        text += f"\n\n{study.baseline.name}: {study.baseline.about}"
    for frame, why in study.left_out.items():
        text += f"\n\nFrame {frame} is left out: {why}."
    return text


def _asked(one: Evaluation) -> str:
    return counted(len(one.members), "member") if one.members else "none of whose members was asked, because every frame is blank"


def _score_rows(scores: Sequence[Detection | None]) -> list[list[Cell]]:
    return [
        ["F1", *(share(None if one is None else one.f1) for one in scores)],
        ["precision", *(share(None if one is None else one.precision) for one in scores)],
        ["recall", *(share(None if one is None else one.recall) for one in scores)],
        ["localisation, RMSE (px)", *(fixed(None if one is None else one.rmse_px, 3) for one in scores)],
        ["localisation, RMSE (pm)", *(fixed(None if one is None else one.rmse_pm, 2) for one in scores)],
    ]


def _class_table(study: Study) -> Table | None:
    rows: list[list[Cell]] = []
    for one, _ in study.judged:
        for name, score in zip(one.evaluation.classes, one.evaluation.by_class or (), strict=False):
            rows.append(
                [
                    *([one.name] if study.before is not None else []),
                    name,
                    score.found + score.missed,
                    share(score.f1),
                    share(score.precision),
                    share(score.recall),
                    fixed(score.rmse_px, 3),
                    fixed(score.rmse_pm, 2),
                ]
            )
    columns = (*(["ensemble"] if study.before is not None else []), "class", "true atoms", "F1", "precision", "recall", "RMSE (px)", "RMSE (pm)")
    return Table(columns, rows, "Classes: an atom counts for a class where position and class are right") if rows else None


def _line(judged: Judged, colour: str, scored: bool) -> Line:
    frames = judged.evaluation.frames
    points = {one.frame: one.overall.f1 for one in frames if one.overall is not None} if scored else {one.frame: float(len(one.atoms)) for one in frames}
    return Line(judged.name, colour, points)


def _mad(values: NDArray[np.floating]) -> float:
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _count(value: float | None) -> Cell:
    return None if value is None else int(value)
