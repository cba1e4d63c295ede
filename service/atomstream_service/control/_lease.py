"""One program at a time in control, if it asks to be."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from ._refusal import RequestRefused
from ._store import Entry, Store


@dataclass(frozen=True)
class Lease:
    """The right to change things, until it ends.

    id : known to the holder alone, and sent with each change
    holder : who
    reason : what for
    until : seconds since the epoch
    """

    id: str
    holder: str
    reason: str
    until: float

    @property
    def shown(self) -> dict[str, Any]:
        """The lease without its id, for everybody."""
        return {"holder": self.holder, "reason": self.reason, "until": self.until}


class Leases:
    """The lease, remembered over restarts. Safe from any thread.

    generation : asked for the journal's sake
    """

    def __init__(self, store: Store, generation: Callable[[], int], clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._generation = generation
        self._clock = clock
        self._lock = threading.Lock()
        remembered = store.read("lease")
        self._lease = None if remembered is None else Lease(**remembered)

    @property
    def current(self) -> Lease | None:
        """The lease that holds now."""
        lease = self._lease
        return lease if lease is not None and lease.until > self._clock() else None

    def check(self, lease_id: str | None) -> None:
        """Let a change pass if nobody, or whoever sends this id, holds the lease.

        Raises
        ------
        RequestRefused
            423, naming the holder.
        """
        lease = self.current
        if lease is not None and not secrets.compare_digest(lease.id.encode(), (lease_id or "").encode()):
            left = lease.until - self._clock()
            raise RequestRefused(
                423, "leased", f"{lease.holder} has control for {left:.0f} s more ({lease.reason or 'no reason given'}); an operator can break the lease"
            )

    def take(self, holder: str, seconds: float, reason: str, lease_id: str | None = None) -> Lease:
        """Give the lease to somebody, or more time to whoever has it.

        Raises
        ------
        RequestRefused
            423 where somebody else has it.
        """
        with self._lock:
            self.check(lease_id)
            before = self.current
            lease = Lease(secrets.token_urlsafe(16) if before is None else before.id, holder, reason, self._clock() + seconds)
            self._put(lease, "take_lease" if before is None else "renew_lease", holder, reason)
            return lease

    def give_back(self, lease_id: str | None, actor: str, reason: str, *, force: bool) -> None:
        """End the lease, by its holder or, with `force`, by anybody who may.

        Raises
        ------
        RequestRefused
            404 where there is none, 423 where somebody else has it.
        """
        with self._lock:
            if self.current is None:
                raise RequestRefused(404, "no_lease", "nobody has the lease")
            if not force:
                self.check(lease_id)
            self._put(None, "break_lease" if force else "give_back_lease", actor, reason)

    def _put(self, lease: Lease | None, action: str, actor: str, reason: str) -> None:
        before = self.current
        was, is_now = (None if one is None else one.shown for one in (before, lease))
        holder = (lease or before or Lease("", "nobody", "", 0.0)).holder
        self._store.record(Entry(actor, action, holder, reason, was, is_now, self._generation()), {"lease": None if lease is None else asdict(lease)})
        self._lease = lease
