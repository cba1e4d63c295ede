"""The wish, changed by one caller at a time, remembered first and told then."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..transport import EngineSilent, EngineUnavailable
from ._refusal import RequestRefused
from ._store import Entry, Store, StoreUnusable
from ._wish import EnsembleRef, Lineup, Wish, as_json, from_json, renumbered, with_ensemble

Tell = Callable[[Wish, Mapping[str, str], float], None]
"""Tells the engine (wish, {"actor", "reason"}, seconds to wait); returns when it holds."""

_CHANGE_S = 30.0
_RECONCILE_S = 1.0
_TURN_S = 5.0


class Keeper:
    """Holds the wish.

    wish : what the engine is to hold; replaced whole, so that reading it needs no lock
    """

    def __init__(self, wish: Wish, store: Store, tell: Tell) -> None:
        self.wish = wish
        self._lock = threading.Lock()
        self._store = store
        self._tell = tell

    def check(self, expected_generation: int | None) -> None:
        """For what is not a change of the wish, but is based on it.

        Raises
        ------
        RequestRefused
            412 where the state has moved on since `expected_generation`.
        """
        if expected_generation is not None and expected_generation != self.wish.generation:
            raise RequestRefused(412, "changed_meanwhile", f"the generation is {self.wish.generation} by now, not {expected_generation}")

    @contextlib.contextmanager
    def turn(self, expected_generation: int | None = None) -> Iterator[Wish]:
        """One change at a time; yields the wish to change.

        Raises
        ------
        RequestRefused
            503 where a silent engine has not answered another change yet, 412 where the state has moved on since `expected_generation`.
        """
        if not self._lock.acquire(timeout=_TURN_S):
            raise RequestRefused(503, "busy", "another change is being made and the engine has not answered it yet; try again")
        try:
            self.check(expected_generation)
            yield self.wish
        finally:
            self._lock.release()

    def carry_out(self, after: Wish, entry: Entry) -> None:
        """Remember, then tell; the caller has the turn.

        In this order no generation that the engine has ever reported can be forgotten and given out again. With an engine that is not
        there the change is remembered, and the engine starts with it.

        Raises
        ------
        EngineSilent
            the change is remembered and will hold, but the engine has not said since when.
        """
        self.remember(after, entry)
        self.tell(entry.actor, entry.reason)

    def remember(self, after: Wish, entry: Entry) -> None:
        """Make a wish the one that holds, and say so in the journal."""
        self._store.record(entry, {"wish": as_json(after)})
        self.wish = after

    def settle(self, after: Wish) -> None:
        """Remember what nobody decided, so that no line of the journal is due."""
        self._store.save({"wish": as_json(after)})
        self.wish = after

    def tell(self, actor: str, reason: str) -> None:
        """Tell the engine the wish, again if need be."""
        self._told({"actor": actor, "reason": reason}, _CHANGE_S)

    def remind(self) -> None:
        """Bring an engine up to a change that it has missed; does nothing while another change is being made."""
        if self._lock.acquire(blocking=False):
            try:
                self._told({"actor": "control", "reason": "the engine had missed this change"}, _RECONCILE_S)
            finally:
                self._lock.release()

    def _told(self, why: Mapping[str, str], patience_s: float) -> None:
        try:
            self._tell(self.wish, why, patience_s)
        except EngineSilent:
            raise
        except EngineUnavailable:
            # It has ended; the supervisor starts it again with this very wish.
            return


def restored(store: Store, configured: Lineup, usable: Callable[[EnsembleRef], bool]) -> Wish:
    """The remembered wish. Where the configured ensemble is another one than when it was made, that takes over; where the live one has gone, the last
    one before it that is still there.

    configured : the ensemble that the service is started with, all members enabled
    usable : whether an ensemble is still here and sound

    Raises
    ------
    StoreUnusable
        where what is remembered can't be read. To begin anew would give out generations that results have had already.
    """
    remembered: dict[str, Any] | None = store.read("wish")
    try:
        before = None if remembered is None else from_json(remembered)
    except (KeyError, TypeError, ValueError) as error:
        why = f"{type(error).__name__}: {error}"
        raise StoreUnusable(
            f"the ensemble and members remembered in {store.folder} can't be read ({why}); was it another version's? Choose another --state"
        ) from error
    known = store.read("configured") == configured.ensemble.sha256
    if before is not None and known and usable(before.live.ensemble):
        # An engine may have gone back under the number kept for that and told nobody: it is not given out again.
        return before if before.trial is None else renumbered(before)
    if before is None:
        wish = Wish(configured, 1)
    else:
        last_good = () if before.trial is None else (before.trial.last_good,)
        choices = (*last_good, *before.earlier) if known else ()
        back = next((one for one in choices if usable(one.ensemble)), configured)
        wish = with_ensemble(before, back.ensemble, tuple(back.states), on_trial=False)
    state = {"wish": as_json(wish), "configured": configured.ensemble.sha256}
    store.record(_started(wish.live.ensemble, None if before is None else before.live.ensemble, wish.generation), state)
    return wish


def _started(ensemble: EnsembleRef, before: EnsembleRef | None, generation: int) -> Entry:
    return Entry("control", "use_ensemble", str(ensemble), "service started", None if before is None else str(before), str(ensemble), generation)
