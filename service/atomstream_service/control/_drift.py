"""Follows the engine's watch over drift: journals alarms, and takes members out where that says so."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel

from ..drift_settings import DriftSettings, QuarantineSettings
from ..members import MemberState
from ..transport import CommandRefused, EngineSilent, EngineUnavailable
from ._keeper import Keeper
from ._members import Members
from ._refusal import RequestRefused
from ._store import Entry, Store, StoreUnwritable
from ._types import Call

log = logging.getLogger(__name__)

_WAIT_S = 1.0
_AWAY_S = 0.2
_SAVE_EVERY_S = 30.0
_ACTIONS = {"alarm": "drift_alarm", "over": "drift_over"}
_Settings = TypeVar("_Settings", bound=BaseModel)


class Drift:
    """What is known of drift, and what is done about it.

    call : the engine; it is asked all the time and may be away
    engine : number of the engine that runs, so that a new one is told from the one before
    min_active : members that must stay enabled, whatever the policy says

    sources : source -> how drift stood on its frames a moment ago
    """

    def __init__(
        self,
        store: Store,
        keeper: Keeper,
        members: Members,
        call: Call,
        engine: Callable[[], int | None],
        *,
        watch: DriftSettings,
        quarantine: QuarantineSettings,
        min_active: int,
    ) -> None:
        self._store = store
        self._keeper = keeper
        self._members = members
        self._call = call
        self._engine = engine
        self._min_active = min_active
        self._policy = _remembered(store, "quarantine", quarantine)
        self._watch = _remembered(store, "watch", watch)
        self._saved_at = time.monotonic()
        self._number = 0
        self._to_take_out: dict[str, Mapping[str, Any]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="drift", daemon=True)
        self._ensembles: Mapping[str, str] = {}
        self.sources: Mapping[str, Any] = {}

    @property
    def policy(self) -> QuarantineSettings:
        return self._policy

    @property
    def engines_policy(self) -> QuarantineSettings:
        """The policy with as many members left enabled as the service needs."""
        return self._policy.model_copy(update={"least_used": max(self._policy.least_used, self._min_active)})

    @property
    def watch(self) -> DriftSettings:
        return self._watch

    @property
    def remembered(self) -> dict[str, Any] | None:
        """What the engine knew of drift when it was last asked, for the one that comes after it."""
        state: dict[str, Any] | None = self._store.read("drift")
        return state

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Remember how drift stands, then end."""
        self._stop.set()
        self._thread.join(10)
        try:
            self._save(self._call("drift", {"after": 0, "wait_s": 0.0, "state": True}, timeout_s=2.0).body["state"])
        except (EngineUnavailable, CommandRefused, StoreUnwritable) as error:
            log.info("drift is remembered as of the last look: %s", error)

    def look(self) -> Mapping[str, Any]:
        """Source -> how drift stands now; as of the last look where the engine is away."""
        try:
            sources: Mapping[str, Any] = self._call("drift", {"after": 0, "wait_s": 0.0, "state": False}, timeout_s=2.0).body["sources"]
        except EngineUnavailable:
            return self.sources
        return sources

    def of_member(self, member: str) -> dict[str, Any] | None:
        """How one member stands, on the source where it stands out most; None where it has not been watched yet."""
        about = {source: standing["members"] for source, standing in self.sources.items() if self._is_of_live(source)}
        found = [{"source": source, **members[member]} for source, members in about.items() if member in members]
        return max(found, key=lambda one: (one["alarm"]["raised"], one["ratio"]), default=None)

    def acknowledge(
        self, subject: str, state: MemberState, source: str | None, actor: str, reason: str, expected_generation: int | None = None
    ) -> tuple[int, bool]:
        """Release an alarm, and a member from quarantine; the generation from which it holds, and whether there was an alarm.

        subject : a member's id, `scene`, `instrument` or `unattributed`
        state : what a quarantined member becomes

        Raises
        ------
        RequestRefused
            404 for another subject, 412 where the state has changed since `expected_generation`.
        """
        is_member = subject in self._keeper.wish.states
        if not is_member and subject not in ("scene", "instrument", "unattributed"):
            raise RequestRefused(404, "unknown_subject", f"{subject!r} is no member, nor scene, instrument or unattributed")

        def release() -> bool:
            return bool(self._call("acknowledge", {"subject": subject, "source": source}, timeout_s=5.0).body["released"])

        if is_member:
            generation, released, freed = self._members.acknowledge(subject, state, release, actor, reason, expected_generation)
        else:
            with self._keeper.turn(expected_generation) as wish:
                generation, released, freed = wish.generation, release(), False
        if released and not freed:
            self._store.note(Entry(actor, "acknowledge", subject, reason, "alarm", None, generation))
        return generation, released

    def set_policy(self, quarantine: QuarantineSettings, watch: DriftSettings | None, actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Decide in another way from now on; remembered over restarts, and told to an engine that does not hear of it now as soon as it can be. The generation.

        Raises
        ------
        RequestRefused
            412 where the state has changed since `expected_generation`.
        EngineSilent
            the settings are remembered and will hold, but the engine has not said since when.
        """
        with self._keeper.turn(expected_generation) as wish:
            self._set_policy(quarantine, watch, actor, reason, wish.generation)
        try:
            self._tell_policy()
        except EngineSilent:
            raise
        except EngineUnavailable as error:
            log.info("drift will be watched for in another way by the next engine: %s", error)
        return wish.generation

    def _set_policy(self, quarantine: QuarantineSettings, watch: DriftSettings | None, actor: str, reason: str, generation: int) -> None:
        watch = watch or self._watch
        before = {"quarantine": self.policy.model_dump(), "watch": self._watch.model_dump()}
        after = {"quarantine": quarantine.model_dump(), "watch": watch.model_dump()}
        self._store.record(Entry(actor, "set_drift_policy", "drift", reason, before, after, generation), after)
        self._policy, self._watch = quarantine, watch

    def _tell_policy(self) -> None:
        self._call("watch", self._wanted_of_engine(), timeout_s=5.0)

    def _wanted_of_engine(self) -> dict[str, Any]:
        return {"settings": self._watch.model_dump(mode="json"), "quarantine": self.engines_policy.model_dump(mode="json")}

    def _run(self) -> None:
        engine = None
        while not self._stop.is_set():
            if (now := self._engine()) != engine:
                engine, self._number = now, 0
            try:
                told = self._call("drift", {"after": self._number, "wait_s": _WAIT_S, "state": False}, timeout_s=_WAIT_S + 5.0).body
                self._follow(told)
                if told["told"] or time.monotonic() - self._saved_at > _SAVE_EVERY_S:
                    self._save(self._call("drift", {"after": self._number, "wait_s": 0.0, "state": True}, timeout_s=5.0).body["state"])
            except (EngineUnavailable, CommandRefused):
                self._stop.wait(_AWAY_S)
            except StoreUnwritable as error:
                log.error("drift is not remembered: %s; it is tried again", error)
                self._stop.wait(_WAIT_S)
            except Exception:
                log.exception("following drift failed; it is tried again")
                self._stop.wait(_WAIT_S)

    def _follow(self, told: Mapping[str, Any]) -> None:
        self._ensembles = told["ensembles"]
        self.sources = told["sources"]
        for one in told["told"]:
            if one["kind"] == "quarantine":
                self._to_take_out[one["member"]] = one
            else:
                subject = one["member"] or one["cause"]
                self._store.record(Entry("drift", _ACTIONS[one["kind"]], subject, one["message"], None, one, one["generation"]), {})
                log.warning("drift on %s: %s", one["source"], one["message"])
            # One by one, so that nothing is journalled twice, and nothing is passed over where the store fails.
            self._number = one["number"]
        if self._wanted_of_engine() != {name: told[name] for name in ("settings", "quarantine")}:
            # It was starting, or silent, when it was to hear of it.
            self._tell_policy()
        for decision in list(self._to_take_out.values()):
            self._take_out(decision)

    def _is_of_live(self, source: str) -> bool:
        """Whether a source's standing is about the live ensemble, rather than one before it whose members may have the same names."""
        return self._ensembles.get(source) == self._keeper.wish.live.ensemble.sha256

    def _take_out(self, decision: Mapping[str, Any]) -> None:
        """Carry a decision out; one that can't be now is tried again, as long as it still holds."""
        member, policy = decision["member"], self.engines_policy
        if policy.mode == "advice" or decision["ensemble"] != self._keeper.wish.live.ensemble.sha256:
            del self._to_take_out[member]
            return
        try:
            self._members.quarantine(member, decision["reason"], policy.most_out, policy.least_used)
        except EngineUnavailable as error:
            log.warning("%s is out as soon as the engine answers: %s", member, error)
        except (RequestRefused, CommandRefused) as error:
            if getattr(error, "code", "") != "policy_limits":
                log.warning("%s is not taken out yet: %s", member, error)
                return
            log.warning("%s stays: %s", member, error)
        del self._to_take_out[member]

    def _save(self, state: Mapping[str, Any]) -> None:
        self._store.save({"drift": state})
        self._saved_at = time.monotonic()


def _remembered(store: Store, name: str, configured: _Settings) -> _Settings:
    """Settings that were made over REST, or those of the configuration where there are none, or they are no longer understood."""
    try:
        return type(configured).model_validate(store.read(name, configured.model_dump()))
    except ValueError as error:
        log.warning("the %s settings made over REST can't be used any more: %s", name, error)
        return configured
