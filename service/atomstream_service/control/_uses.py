"""What registered ensembles are used for."""

from __future__ import annotations

from enum import StrEnum

from ._wish import Wish


class Use(StrEnum):
    """What an ensemble is used for."""

    LIVE = "live"
    """It answers frames."""
    LAST_GOOD = "last_good"
    """It comes back should the live one fail in its first frames."""
    CANDIDATE = "candidate"
    """It runs beside the live one and never counts."""
    EARLIER = "earlier"
    """It was live before."""
    NONE = "none"


def use_of(wish: Wish, name: str, version: str) -> Use:
    uses = [(Use.LIVE, wish.live.ensemble)]
    uses += [] if wish.trial is None else [(Use.LAST_GOOD, wish.trial.last_good.ensemble)]
    uses += [] if wish.candidate is None else [(Use.CANDIDATE, wish.candidate)]
    uses += [(Use.EARLIER, one.ensemble) for one in wish.earlier]
    return next((use for use, ref in uses if (ref.name, ref.version) == (name, version)), Use.NONE)
