"""All members side by side, as figure 2 of the paper shows them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..analysis import Inferred
from ..errors import ExtraMissing, InputError
from ._choose import rank
from ._score import MemberScores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ACROSS = 8
"""Members in a row at most; more are shared out over several bands."""
_PANEL_IN = 1.9
_LARGEST_PX = 320
_CHOSEN = "#0a7d4f"


def gallery(
    frames: Sequence[NDArray[Any]],
    inferred: Sequence[Inferred],
    scores: Sequence[MemberScores],
    *,
    chosen: Sequence[str] = (),
    names: Sequence[str] = (),
) -> bytes:
    """A PNG with every member's own map (all atom classes together) of each frame, the least artifacts first, the chosen ones framed and ticked.

    Each row is a frame, beginning with the frame itself; above each column stand the member and its combined artifact score, beside
    each map that frame's own. All maps share one scale, 0 to 1.

    frames, inferred : frames and the answers to them, in order; blank ones show as empty maps
    scores : of the members, see `score_members`; their `by_frame` is written on the maps where it has one number for each of these frames
    names : of the frames, to stand beside them

    Raises
    ------
    InputError
        where frames, answers and names differ in number, or there is no frame or no member.
    ExtraMissing
        without matplotlib.
    """
    if not frames or len(frames) != len(inferred) or (names and len(names) != len(frames)):
        raise InputError(f"{len(frames)} frames came with {len(inferred)} answers and {len(names)} names")
    if not scores:
        raise InputError("there is no member to show")
    try:
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise ExtraMissing("matplotlib", "train") from error
    ranked = rank(scores)
    length = -(-len(ranked) // -(-len(ranked) // _ACROSS))
    bands = [ranked[start : start + length] for start in range(0, len(ranked), length)]
    across, down = 1 + max(map(len, bands)), len(bands) * len(frames)
    tall = float(np.clip(frames[0].shape[0] / frames[0].shape[1], 0.4, 2.5))
    figure = Figure(figsize=(_PANEL_IN * across, (_PANEL_IN * tall + 0.12) * down + 0.3 * len(bands)), dpi=110, layout="constrained")
    panels = figure.subplots(down, across, squeeze=False)
    for b, band in enumerate(bands):
        for f, (frame, answer) in enumerate(zip(frames, inferred, strict=True)):
            row = panels[b * len(frames) + f]
            _show_frame(row[0], frame, names[f] if names else f"frame {f}")
            for panel, member in zip(row[1:], band, strict=False):
                _show_map(panel, answer, member.member)
                if len(member.by_frame) == len(frames):
                    _write(panel, f"{member.by_frame[f]:.3f}")
                _mark(panel, member, member.member in chosen, titled=f == 0)
            for panel in row[1 + len(band) :]:
                panel.set_axis_off()
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _thin(image: NDArray[Any]) -> NDArray[Any]:
    step = max(1, -(-max(image.shape) // _LARGEST_PX))
    return image[::step, ::step]


def _show_frame(panel: Axes, frame: NDArray[Any], name: str) -> None:
    finite = frame[np.isfinite(frame)]
    low, high = np.percentile(finite, (0.5, 99.8)) if finite.size else (0.0, 1.0)
    panel.imshow(_thin(frame), cmap="gray", vmin=low, vmax=high if high > low else low + 1, interpolation="nearest")
    panel.set_ylabel(name, fontsize=9)
    panel.set_xticks([])
    panel.set_yticks([])


def _show_map(panel: Axes, answer: Inferred, member: str) -> None:
    seen = member in answer.members_used
    maps = answer.maps[answer.members_used.index(member)] if seen else answer.mean
    panel.imshow(_thin(np.minimum(maps.sum(axis=0), 1)), cmap="magma", vmin=0, vmax=1, interpolation="nearest")
    panel.set_xticks([])
    panel.set_yticks([])


def _write(panel: Axes, text: str) -> None:
    panel.text(
        0.97,
        0.03,
        text,
        transform=panel.transAxes,
        ha="right",
        va="bottom",
        fontsize=7,
        color="white",
        bbox={"facecolor": "black", "alpha": 0.6, "pad": 1.5, "linewidth": 0},
    )


def _mark(panel: Axes, member: MemberScores, chosen: bool, *, titled: bool) -> None:
    if titled:
        tick = "\N{CHECK MARK} " if chosen else ""
        panel.set_title(
            f"{tick}{member.member}  {member.artifact:.3f}", fontsize=9, color=_CHOSEN if chosen else "black", fontweight="bold" if chosen else "normal"
        )
    for spine in panel.spines.values():
        spine.set_edgecolor(_CHOSEN if chosen else "0.6")
        spine.set_linewidth(3.0 if chosen else 0.6)
