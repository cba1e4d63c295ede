from __future__ import annotations

from dataclasses import dataclass

from ._roles import Role


@dataclass(frozen=True)
class Caller:
    """Who asks.

    name : of the token; None where none was needed
    role : what it may do; None for a stranger at a route that answers anybody
    address : where the request came from
    """

    name: str | None
    role: Role | None
    address: str

    def may(self, needed: Role | None) -> bool:
        return needed is None or (self.role is not None and self.role.allows(needed))

    def actor(self, claimed: str | None) -> str:
        """Who is named in the journal: the token's name always, and whom it says to act for."""
        if self.name is None:
            return claimed or f"anonymous@{self.address}"
        identity = f"{self.name} ({self.role})"
        return f"{identity} for {claimed}" if claimed else identity
