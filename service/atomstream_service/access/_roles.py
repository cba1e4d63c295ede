from __future__ import annotations

from enum import StrEnum


class Role(StrEnum):
    """What a token lets its holder do; each role may do what those above it may."""

    VIEWER = "viewer"
    """Read: status, members, frames, recordings, metrics, journal."""
    OPERATOR = "operator"
    """Run the experiment: change members, switch ensembles, acknowledge drift, record, refine, infer single frames."""
    ADMIN = "admin"
    """Change what the service is: upload and delete ensembles, set policies."""

    def allows(self, needed: Role) -> bool:
        return _ORDER.index(self) >= _ORDER.index(needed)


_ORDER = tuple(Role)
