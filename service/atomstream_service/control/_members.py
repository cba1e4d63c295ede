"""Which members count, decided here and carried out by the engine."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Literal

from ..members import MemberState
from ._keeper import Keeper
from ._refusal import RequestRefused
from ._store import Entry
from ._wish import Wish, with_failed, with_states


class Members:
    """Changes of members' states. Every one answers the generation from which it holds, and raises what `Keeper.carry_out` does."""

    def __init__(self, keeper: Keeper, min_active: int) -> None:
        self._keeper = keeper
        self._min_active = min_active

    def change(self, states: Mapping[str, MemberState], actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Set some members' states.

        Raises
        ------
        RequestRefused
            404 unknown member, 409 too few enabled members, 412 the state has changed since `expected_generation`.
        """
        return self._change(lambda wish: states, actor, reason, expected_generation)

    def choose(self, enabled: Collection[str], actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Have exactly these members enabled; those of the others that were are disabled. Otherwise as `change`."""

        def states(wish: Wish) -> Mapping[str, MemberState]:
            out = [member for member, state in wish.states.items() if state is MemberState.ENABLED and member not in enabled]
            return {**dict.fromkeys(out, MemberState.DISABLED), **dict.fromkeys(enabled, MemberState.ENABLED)}

        return self._change(states, actor, reason, expected_generation)

    def quarantine(self, member: str, reason: str, most_out: int, least_used: int) -> int:
        """Take an enabled member out on the policy's behalf, until somebody acknowledges it; one that is not enabled stays as it is.

        Raises
        ------
        RequestRefused
            409 `policy_limits` where more than `most_out` members would be in quarantine, or fewer than `least_used` stay enabled: whoever decided
            it did not know yet of another change.
        """

        def states(wish: Wish) -> Mapping[str, MemberState]:
            if wish.states.get(member) is not MemberState.ENABLED:
                return {}
            out = sum(state is MemberState.QUARANTINED for state in wish.states.values())
            if out >= most_out or wish.live.enabled <= least_used:
                raise RequestRefused(
                    409, "policy_limits", f"{out} members are in quarantine and {wish.live.enabled} enabled; {member} can't be taken out as well"
                )
            return {member: MemberState.QUARANTINED}

        return self._change(states, "policy", reason, None, "quarantine")

    def acknowledge(
        self, member: str, state: MemberState, release: Callable[[], bool], actor: str, reason: str, expected_generation: int | None = None
    ) -> tuple[int, bool, bool]:
        """Release a member's alarm, and free it where it is in quarantine; the generation, whether there was an alarm, and whether it was freed.

        state : what a quarantined member becomes
        release : releases the alarm

        Raises
        ------
        RequestRefused
            404 unknown member, 409 too few enabled members, 412 the state has changed since `expected_generation`.
        """
        with self._keeper.turn(expected_generation) as before:
            if member not in before.states:
                raise RequestRefused(404, "unknown_member", f"there is no member {member}; there are {', '.join(before.states)}")
            held = before.states[member] is MemberState.QUARANTINED
            after = with_states(before, {member: state}, self._min_active, chosen=True) if held else before
            released = release()
            if held:
                self._carry_out(before, after, actor, reason, "acknowledge")
            return after.generation, released, held

    def mark_failed(self, failures: Mapping[str, str], generation: int | None = None) -> None:
        """Set members whose run failed to `failed`, on the engine's behalf; quorum or not, they can't run.

        generation : in which they failed; RequestRefused where the state has moved on from it
        """
        with self._keeper.turn(generation) as before:
            new = [member for member in failures if before.states.get(member) not in (None, MemberState.FAILED)]
            if new:
                self._carry_out(before, with_failed(before, new), "engine", "; ".join(failures[member] for member in new), "set_members")

    def _change(
        self,
        states: Callable[[Wish], Mapping[str, MemberState]],
        actor: str,
        reason: str,
        expected_generation: int | None,
        action: Literal["set_members", "quarantine"] = "set_members",
    ) -> int:
        with self._keeper.turn(expected_generation) as before:
            wanted = states(before)
            if action == "set_members":
                _check_quarantine(before, wanted)
            if not wanted and action != "set_members":
                return before.generation
            after = with_states(before, wanted, self._min_active, chosen=action != "quarantine")
            if after.states == before.states and before.live.selected:
                self._keeper.tell(actor, reason)  # it may have been asked for before and not hold yet
                return before.generation
            self._carry_out(before, after, actor, reason, action)
            return after.generation

    def _carry_out(self, before: Wish, after: Wish, actor: str, reason: str, action: str) -> None:
        changed = [member for member in after.states if after.states[member] is not before.states[member]]
        entry = Entry(
            actor=actor,
            action=action,
            target=", ".join(changed) or "all",
            reason=reason,
            before={member: before.states[member] for member in changed},
            after={member: after.states[member] for member in changed},
            generation=after.generation,
        )
        self._keeper.carry_out(after, entry)


def _check_quarantine(before: Wish, wanted: Mapping[str, MemberState]) -> None:
    held = [member for member, state in wanted.items() if state is MemberState.ENABLED and before.states.get(member) is MemberState.QUARANTINED]
    if held:
        raise RequestRefused(409, "quarantined", f"{', '.join(held)} is in quarantine until acknowledged: POST /v1/drift/{held[0]}/acknowledge")
