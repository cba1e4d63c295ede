"""The states an ensemble member can be in."""

from __future__ import annotations

from enum import StrEnum


class MemberState(StrEnum):
    """What part a member takes in the results."""

    ENABLED = "enabled"
    """Counts."""
    SHADOW = "shadow"
    """Runs every Nth frame and never counts, so that its recovery is seen."""
    DISABLED = "disabled"
    """Does not run."""
    QUARANTINED = "quarantined"
    """Taken out by policy until acknowledged."""
    FAILED = "failed"
    """Its run failed."""


CHOOSABLE = (MemberState.ENABLED, MemberState.SHADOW, MemberState.DISABLED)
"""States that a person or a program may ask for; the others are the service's own to set."""
