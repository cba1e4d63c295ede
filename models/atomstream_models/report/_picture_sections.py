"""The paper's figures 2 to 5 as sections of a report."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._format import counted, share
from ._maps import Region, Stage, StageRow, regions_figure, stages_figure, uncertain_window
from ._members import MembersRow, members_figure
from ._parts import Cell, Section, Table
from ._study import Judged, Study

_REGION_PX = 96
_REGIONS = 2


def members_section(study: Study, judged: Judged) -> Section:
    """Each member's own map of the shown frames: figure 2 of the paper."""
    figures = []
    marked = study.chosen if judged is study.ensemble else ()
    for frame in (one for one in study.images if judged.members.get(one)):
        found, maps = judged.figures(frame), judged.members[frame]
        scores = {member: f"F1 {score.f1:.3f}" for member, score in zip(found.members_used, found.by_member or (), strict=False)}
        counts = {member: f"{atoms} atoms" for member, atoms in zip(found.members_used, found.member_atoms, strict=True)}
        caption = f"Frame {frame}: each member's own map" + (", with the F1 of its own atoms." if scores else ", with the number of its own atoms.")
        caption += f" {_colours(judged.evaluation.classes)}"
        if marked:
            caption += " Framed: the members that were chosen."
        figures.append(
            members_figure(
                [MembersRow("frame", study.images[frame], maps)],
                judged.evaluation.classes,
                names={member: f"{member}  {note}" for member, note in (scores or counts).items()},
                marked=marked,
                pixel_nm=study.pixel_nm,
                caption=caption,
            )
        )
    text = (
        "Members that agree on what they were trained on may differ on new frames. What to look for: fog in a perfect lattice, atoms in a hole or in "
        "amorphous matter, blobs of odd shapes. Pooling members that show such artifacts pools the artifacts."
    )
    return Section(f"Members, {judged.name}" if study.before else "Members", text, figures, (_member_table(judged),))


def means_section(study: Study) -> Section | None:
    """Mean maps of the shown frames, before and after: figures 3 and 5 of the paper."""
    shown = [frame for frame in study.images if all(frame in one.answers for one, _ in study.judged)]
    if not shown:
        return None
    # The ensemble's own classes come first, so that they have the same colours in all pictures of its.
    classes = tuple(dict.fromkeys(name for one, _ in reversed(study.judged) for name in one.evaluation.classes))
    rows = [StageRow(f"frame {frame}", study.images[frame], [_stage(study, one, frame, classes) for one, _ in study.judged]) for frame in shown]
    caption = f"Mean over the members. {_colours(classes)}"
    if study.truths:
        caption += " Circles: true atoms that were missed; crosses: atoms found where none is."
    groups = [rows[k : k + 3] for k in range(0, len(rows), 3)]
    figures = [stages_figure(group, classes, pixel_nm=study.pixel_nm, caption=caption) for group in groups]
    return Section("Mean maps, before and after" if study.before else "Mean maps", "", figures)


def uncertainty_section(study: Study) -> Section | None:
    """Mean and std of the most uncertain regions: figure 4 of the paper. None where no std is known."""
    regions: list[Region] = []
    answers = {frame: answer for frame, answer in study.ensemble.answers.items() if frame in study.images}
    left = {frame: answer.std.copy() for frame, answer in answers.items() if answer.std is not None}
    frames = sorted(left, key=lambda k: -np.nan_to_num(study.ensemble.figures(k).median_std))
    for frame in sorted(frames[:_REGIONS]) if len(frames) > 1 else frames * _REGIONS:
        answer, image = answers[frame], study.images[frame]
        rows, columns = uncertain_window(left[frame], _REGION_PX)
        if answer.std is not None and left[frame][:, rows, columns].any():
            name = f"frame {frame}\nrow {rows.start}, column {columns.start} px"
            regions.append(Region(name, image[rows, columns], answer.mean[:, rows, columns], answer.std[:, rows, columns]))
            left[frame][:, rows, columns] = 0
    if not regions:
        return None
    caption = "The most uncertain regions: image, mean over the members, and standard deviation over the members of each class. "
    caption += f"Above each: row and column where it begins, in pixels from the frame's upper left. {_colours(study.ensemble.evaluation.classes)}"
    text = (
        "Rims of atoms are always uncertain, because the size of an atom in a training mask is a choice. A doubled spot in the std of a single atom can be an "
        "atom that jumped between two sites while it was scanned."
    )
    return Section("Uncertainty", text, (regions_figure(regions, study.ensemble.evaluation.classes, pixel_nm=study.pixel_nm, caption=caption),))


def _member_table(judged: Judged) -> Table:
    one = judged.evaluation
    scores = one.by_member
    agreed = one.agreement
    rows: list[list[Cell]] = []
    for k, member in enumerate(one.members):
        score = scores.get(member)
        atoms = sum(found.member_atoms[found.members_used.index(member)] for found in one.frames if member in found.members_used)
        rows.append([member, atoms, share(None if agreed is None else float(agreed.with_others[k]))])
        if scores:
            rows[-1] += [share(None if score is None else value) for value in ((score.f1, score.precision, score.recall) if score else (None,) * 3)]
    columns = ("member", "atoms", "F1 with the others", *(("F1", "precision", "recall") if scores else ()))
    return Table(columns, rows, f"Members over {counted(len(one.frames), 'frame')}")


def _colours(classes: Sequence[str]) -> str:
    """What the colours of maps of these classes mean."""
    return "Each class has a colour, as bright as its probability." if len(classes) > 1 else "Maps go from dark (probability 0) to bright (probability 1)."


def _stage(study: Study, judged: Judged, frame: int, classes: Sequence[str]) -> Stage:
    found, answer = judged.figures(frame), judged.answers[frame]
    truth = (study.truths or {}).get(frame)
    name = judged.name if study.before is not None else "mean"
    kinds = tuple(classes.index(one) for one in judged.evaluation.classes)
    if truth is None or found.compared is None or found.overall is None:
        return Stage(name, answer.mean, f"{len(answer.atoms)} atoms", kinds=kinds)
    missed, extra = truth.atoms_yx[found.compared.missed], answer.atoms[found.compared.extra, :2]
    return Stage(name, answer.mean, f"F1 {found.overall.f1:.4f}", missed, extra, kinds)
