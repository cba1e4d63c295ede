"""A person's search for the poisoned member: which members were changed, what that did to F1, and how to say it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean

_BEFORE = 12
"""Frames before a change whose mean F1 it is compared with."""
_SETTLED = 3
"""Frames after which it can be said what a change did."""


@dataclass(frozen=True)
class Change:
    """Members were changed, and frames have been answered since.

    after_s : seconds from when the page could be opened to the first frame answered so
    out, back : members that were taken out and put back
    members_used : whose answer it is since
    f1_before, f1_after : mean F1 of frames before and after
    """

    after_s: float
    out: tuple[str, ...]
    back: tuple[str, ...]
    members_used: tuple[str, ...]
    f1_before: float
    f1_after: float


@dataclass
class _Period:
    """The frames that the same members answered in a row."""

    members: tuple[str, ...]
    since_s: float
    f1: deque[float] = field(default_factory=lambda: deque(maxlen=_BEFORE))
    seen: int = 0


class Search:
    """Takes frame after frame, and says once of each change of members what it did."""

    def __init__(self) -> None:
        self._now: _Period | None = None
        self._earlier: _Period | None = None

    def frame(self, members_used: Sequence[str], f1: float, at_s: float) -> Change | None:
        """Take the next frame; returns the last change where it can be said by now what it did, and was not said yet.

        at_s : seconds since the page could be opened
        """
        said = None
        if self._now is None or self._now.members != tuple(members_used):
            said = self._told()
            self._earlier, self._now = self._now, _Period(tuple(members_used), at_s)
        self._now.f1.append(f1)
        self._now.seen += 1
        return self._told() if self._now.seen == _SETTLED else said

    def _told(self) -> Change | None:
        earlier, now = self._earlier, self._now
        if earlier is None or now is None:
            return None
        self._earlier = None
        return Change(
            after_s=now.since_s,
            out=tuple(member for member in earlier.members if member not in now.members),
            back=tuple(member for member in now.members if member not in earlier.members),
            members_used=now.members,
            f1_before=fmean(earlier.f1),
            f1_after=fmean(now.f1),
        )


def in_words(change: Change, culprit: str) -> str:
    """A change in a sentence for the person who made it; the poisoned member is named only once it is out."""
    done = " and ".join(f"{', '.join(members)} {what}" for members, what in ((change.out, "taken out"), (change.back, "put back")) if members)
    did = f"mean F1 {change.f1_before:.3f} before, {change.f1_after:.3f} after"
    if culprit in change.out:
        others = ", ".join(member for member in change.out if member != culprit)
        sound = f"; {others} may come back" if others else ""
        return f"{done}: {did}. {culprit} was the poisoned one, found {change.after_s:.0f} s after the page was there{sound}"
    if culprit in change.back:
        return f"{done}: {did}. The poisoned member counts again"
    if culprit in change.members_used and change.out:
        return f"{done}: {did}. F1 did not recover: the poisoned member still counts"
    return f"{done}: {did}"
