"""What the control plane wants the engine to hold: values, and how one follows from another."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..members import MemberState
from ._refusal import RequestRefused

_REMEMBERED = 10
"""Ensembles that can be rolled back to."""


@dataclass(frozen=True)
class EnsembleRef:
    """Which ensemble: name and version in the registry, and the checksum of its card."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name} {self.version}"


@dataclass(frozen=True)
class Lineup:
    """An ensemble with its members.

    states : every member's state, in the card's order
    selected : whether somebody has chosen members of this ensemble
    """

    ensemble: EnsembleRef
    states: Mapping[str, MemberState]
    selected: bool

    @property
    def enabled(self) -> int:
        return sum(state is MemberState.ENABLED for state in self.states.values())


@dataclass(frozen=True)
class Trial:
    """An activation whose first frames have not been seen yet.

    last_good : the line-up before it, which comes back by itself if it fails
    generation : kept for that case
    """

    last_good: Lineup
    generation: int


@dataclass(frozen=True)
class Wish:
    """The ensemble state that the control plane wants to hold.

    live : who answers frames
    generation : counts up with every change, over restarts too
    trial : while the live ensemble is on trial
    candidate : the ensemble that runs beside the live one
    earlier : line-ups of other ensembles that were live before, the last one first
    """

    live: Lineup
    generation: int
    trial: Trial | None = None
    candidate: EnsembleRef | None = None
    earlier: tuple[Lineup, ...] = ()

    @property
    def states(self) -> Mapping[str, MemberState]:
        return self.live.states

    @property
    def next_generation(self) -> int:
        return max(self.generation, 0 if self.trial is None else self.trial.generation) + 1


def with_states(before: Wish, states: Mapping[str, MemberState], min_active: int, *, chosen: bool) -> Wish:
    """The wish with some members' states changed.

    chosen : whether somebody chose them, rather than a policy

    Raises
    ------
    RequestRefused
        404 unknown member, 409 too few enabled members.
    """
    unknown = [member for member in states if member not in before.states]
    if unknown:
        raise RequestRefused(404, "unknown_member", f"there is no member {', '.join(unknown)}; there are {', '.join(before.states)}")
    live = replace(before.live, states={**before.states, **states}, selected=before.live.selected or chosen)
    if live.enabled < min_active and live.enabled < before.live.enabled:
        raise RequestRefused(409, "min_active", f"{live.enabled} members would stay enabled, at least {min_active} must")
    return renumbered(replace(before, live=live))


def with_failed(before: Wish, members: Sequence[str]) -> Wish:
    """The wish with members set to failed; quorum or not, they can't run."""
    states = {**before.states, **dict.fromkeys(members, MemberState.FAILED)}
    return renumbered(replace(before, live=replace(before.live, states=states)))


def with_ensemble(before: Wish, ensemble: EnsembleRef, members: Sequence[str], *, on_trial: bool) -> Wish:
    """The wish with another live ensemble; one that was live before comes back with the members that it had then, failed ones tried anew."""
    known = next((one for one in before.earlier if one.ensemble == ensemble), None)
    states = dict.fromkeys(members, MemberState.ENABLED)
    if known is not None:
        states |= {member: state for member, state in known.states.items() if member in states and state is not MemberState.FAILED}
    live = Lineup(ensemble, states, known is not None and known.selected)
    last_good = before.live if before.trial is None else before.trial.last_good
    earlier = [last_good, *(one for one in before.earlier if one.ensemble != last_good.ensemble)]
    generation = before.next_generation
    return replace(
        before,
        live=live,
        generation=generation,
        trial=Trial(last_good, generation + 1) if on_trial and last_good.ensemble != ensemble else None,
        candidate=None if before.candidate == ensemble else before.candidate,
        earlier=tuple(one for one in earlier if one.ensemble != ensemble)[:_REMEMBERED],
    )


def brought_back(before: Wish) -> Wish:
    """The wish after its trial has failed: the last good line-up, under the generation kept for that."""
    if before.trial is None:
        raise ValueError("there is no trial that could fail")
    good = before.trial.last_good
    return replace(
        before, live=good, generation=before.trial.generation, trial=None, earlier=tuple(one for one in before.earlier if one.ensemble != good.ensemble)
    )


def without(before: Wish, ensemble: EnsembleRef) -> Wish:
    """The wish after an ensemble has left the registry, so that nobody can roll back to it."""
    return replace(before, earlier=tuple(one for one in before.earlier if one.ensemble != ensemble))


def renumbered(wish: Wish) -> Wish:
    """The wish under the next generation, with one more kept where a trial is under way."""
    generation = wish.next_generation
    trial = None if wish.trial is None else replace(wish.trial, generation=generation + 1)
    return replace(wish, generation=generation, trial=trial)


def as_json(wish: Wish) -> dict[str, Any]:
    return {
        "live": _lineup_as_json(wish.live),
        "generation": wish.generation,
        "trial": None if wish.trial is None else {"last_good": _lineup_as_json(wish.trial.last_good), "generation": wish.trial.generation},
        "candidate": None if wish.candidate is None else _ref_as_json(wish.candidate),
        "earlier": [_lineup_as_json(one) for one in wish.earlier],
    }


def from_json(value: Mapping[str, Any]) -> Wish:
    trial, candidate = value["trial"], value["candidate"]
    return Wish(
        live=_lineup(value["live"]),
        generation=int(value["generation"]),
        trial=None if trial is None else Trial(_lineup(trial["last_good"]), int(trial["generation"])),
        candidate=None if candidate is None else EnsembleRef(**candidate),
        earlier=tuple(_lineup(one) for one in value["earlier"]),
    )


def _ref_as_json(ref: EnsembleRef) -> dict[str, str]:
    return {"name": ref.name, "version": ref.version, "sha256": ref.sha256}


def _lineup_as_json(lineup: Lineup) -> dict[str, Any]:
    return {"ensemble": _ref_as_json(lineup.ensemble), "states": dict(lineup.states), "selected": lineup.selected}


def _lineup(value: Mapping[str, Any]) -> Lineup:
    states = {member: MemberState(state) for member, state in value["states"].items()}
    return Lineup(EnsembleRef(**value["ensemble"]), states, bool(value["selected"]))
