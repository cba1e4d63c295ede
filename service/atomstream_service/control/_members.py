"""Which members count, decided here and carried out by the engine."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..members import MemberState
from ..transport import EngineSilent, EngineUnavailable
from ._refusal import RequestRefused
from ._store import Entry, Store

SetMembers = Callable[["Wish", Mapping[str, str], float], None]
"""Tells the engine (wish, {"actor", "reason"}, seconds to wait); returns when the change holds."""

_CHANGE_S = 30.0
_RECONCILE_S = 1.0
_TURN_S = 5.0


@dataclass(frozen=True)
class Wish:
    """The ensemble state that the control plane wants to hold.

    bundle : sha256 of the ensemble's card
    generation : counts up with every change, over restarts too
    states : every member's state, in the card's order
    selected : whether somebody has chosen members of this ensemble
    """

    bundle: str
    generation: int
    states: Mapping[str, MemberState]
    selected: bool


class Members:
    """The wish, changed by one caller at a time and remembered."""

    def __init__(self, bundle: str, ids: tuple[str, ...], store: Store, min_active: int, set_members: SetMembers) -> None:
        self._lock = threading.Lock()
        self._store = store
        self._min_active = min_active
        self._set_members = set_members
        self._wish = _restored(bundle, ids, store)

    @property
    def wish(self) -> Wish:
        return self._wish

    def change(self, states: Mapping[str, MemberState], actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Set some members' states; returns the generation from which it holds.

        With an engine that is not there the change is remembered, and the engine starts with it.

        Raises
        ------
        RequestRefused
            404 unknown member, 409 too few enabled members, 412 the state has changed since `expected_generation`.
        EngineSilent
            the change is remembered and will hold, but the engine has not said since when.
        """
        return self._change(lambda wish: states, actor, reason, expected_generation)

    def choose(self, enabled: Collection[str], actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Have exactly these members enabled; those of the others that were are disabled. Otherwise as `change`."""

        def states(wish: Wish) -> Mapping[str, MemberState]:
            out = [member for member, state in wish.states.items() if state is MemberState.ENABLED and member not in enabled]
            return {**dict.fromkeys(out, MemberState.DISABLED), **dict.fromkeys(enabled, MemberState.ENABLED)}

        return self._change(states, actor, reason, expected_generation)

    def mark_failed(self, failures: Mapping[str, str]) -> None:
        """Set members whose run failed to `failed`, on the engine's behalf; quorum or not, they can't run."""
        with self._lock:
            before = self._wish
            new = {member: MemberState.FAILED for member in failures if before.states.get(member) not in (None, MemberState.FAILED)}
            if new:
                after = replace(before, generation=before.generation + 1, states={**before.states, **new})
                self._carry_out(before, after, "engine", "; ".join(failures[member] for member in new))

    def reconcile(self, engine_generation: int) -> None:
        """Bring an engine up to a change that it has missed; does nothing while another change is being made."""
        if engine_generation != self._wish.generation and self._lock.acquire(blocking=False):
            try:
                self._tell(self._wish, "control", "the engine had missed this change", _RECONCILE_S)
            finally:
                self._lock.release()

    def _change(self, states: Callable[[Wish], Mapping[str, MemberState]], actor: str, reason: str, expected_generation: int | None) -> int:
        with self._turn():
            before = self._wish
            if expected_generation is not None and expected_generation != before.generation:
                raise RequestRefused(412, "changed_meanwhile", f"the generation is {before.generation} by now, not {expected_generation}")
            after = _changed(before, states(before), self._min_active)
            if after.states == before.states and before.selected:
                self._tell(before, actor, reason, _CHANGE_S)  # it may have been asked for before and not hold yet
                return before.generation
            self._carry_out(before, after, actor, reason)
            return after.generation

    @contextlib.contextmanager
    def _turn(self) -> Iterator[None]:
        """One change at a time; who waits too long for a silent engine to answer another is told so."""
        if not self._lock.acquire(timeout=_TURN_S):
            raise RequestRefused(503, "busy", "another change is being made and the engine has not answered it yet; try again")
        try:
            yield
        finally:
            self._lock.release()

    def _carry_out(self, before: Wish, after: Wish, actor: str, reason: str) -> None:
        """Remember first, tell then: no generation that the engine has ever reported can be forgotten and given out again."""
        changed = [member for member in after.states if after.states[member] is not before.states[member]]
        entry = Entry(
            actor=actor,
            action="set_members",
            target=", ".join(changed) or "all",
            reason=reason,
            before={member: before.states[member] for member in changed},
            after={member: after.states[member] for member in changed},
            generation=after.generation,
        )
        self._store.record(entry, _remembered(after))
        self._wish = after
        self._tell(after, actor, reason, _CHANGE_S)

    def _tell(self, wish: Wish, actor: str, reason: str, patience_s: float) -> None:
        try:
            self._set_members(wish, {"actor": actor, "reason": reason}, patience_s)
        except EngineSilent:
            raise
        except EngineUnavailable:
            # It has ended; the supervisor starts it again with this very wish.
            return


def _changed(before: Wish, states: Mapping[str, MemberState], min_active: int) -> Wish:
    unknown = [member for member in states if member not in before.states]
    if unknown:
        raise RequestRefused(404, "unknown_member", f"there is no member {', '.join(unknown)}; there are {', '.join(before.states)}")
    after = {**before.states, **states}
    active, was = _enabled(after), _enabled(before.states)
    if active < min_active and active < was:
        raise RequestRefused(409, "min_active", f"{active} members would stay enabled, at least {min_active} must")
    return replace(before, generation=before.generation + 1, states=after, selected=True)


def _enabled(states: Mapping[str, MemberState]) -> int:
    return sum(state is MemberState.ENABLED for state in states.values())


def _restored(bundle: str, ids: tuple[str, ...], store: Store) -> Wish:
    """The remembered wish, or a fresh one with all members enabled where another ensemble was remembered."""
    generation = int(store.read("generation", 0))
    if store.read("bundle") == bundle:
        known: dict[str, Any] = store.read("states", {})
        return Wish(bundle, generation, {member: MemberState(known.get(member, "enabled")) for member in ids}, bool(store.read("selected", False)))
    wish = Wish(bundle, generation + 1, dict.fromkeys(ids, MemberState.ENABLED), False)
    store.record(Entry("control", "use_ensemble", bundle, "service started", store.read("bundle"), bundle, wish.generation), _remembered(wish))
    return wish


def _remembered(wish: Wish) -> dict[str, Any]:
    return {"bundle": wish.bundle, "generation": wish.generation, "states": dict(wish.states), "selected": wish.selected}
