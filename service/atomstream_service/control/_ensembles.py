"""Which ensemble answers, decided here and carried out by the engine."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from atomstream_models.bundle import Bundle, BundleError

from ..errors import AtomstreamError
from ..registry import NotRegistered
from ..transport import CommandRefused, EngineUnavailable
from ._keeper import Keeper
from ._meters import Meters
from ._refusal import RequestRefused
from ._store import Entry, StoreUnwritable
from ._types import Call
from ._wish import EnsembleRef, Wish, brought_back, with_ensemble

log = logging.getLogger(__name__)

_DROP_S = 2.0
"""An engine that is silent for longer lets go when its status is next seen."""

Shelf = Callable[[str, str], Bundle]
"""The registered bundle of a name and version, opened and checked; raises NotRegistered, BundleError."""


@dataclass(frozen=True)
class Activated:
    """generation : from which it holds; load_s : what loading, checking and warming took, beside the live ensemble."""

    generation: int
    load_s: float


class _TakenBack(CommandRefused):
    """A change that the engine refused and that was taken back; generation : the one that holds since."""

    def __init__(self, refusal: CommandRefused, generation: int) -> None:
        super().__init__(refusal.code, str(refusal))
        self.generation = generation


class Ensembles:
    """Activation, candidates and rollback.

    shelf : where registered bundles are found
    call : the engine
    meters : told of every swap
    min_active : members that an ensemble must have enabled to become live
    trial_frames : frames that a new ensemble has to answer before the one before it is let go
    load_s : seconds that loading may take
    """

    def __init__(self, keeper: Keeper, shelf: Shelf, call: Call, meters: Meters, *, min_active: int, trial_frames: int, load_s: float) -> None:
        self._keeper = keeper
        self._shelf = shelf
        self._call = call
        self._meters = meters
        self._min_active = min_active
        self._trial_frames = trial_frames
        self._load_s = load_s
        self._lock = threading.Lock()
        self._asked_for: Counter[str] = Counter()
        self._unusable: dict[EnsembleRef, NotRegistered | BundleError] = {}

    def activate(self, name: str, version: str, actor: str, reason: str, expected_generation: int | None = None) -> Activated:
        """Make a registered ensemble the live one: loaded and warmed beside the one that answers, swapped at a frame boundary.

        Raises
        ------
        RequestRefused
            404 not registered, 409 too few members, 412 the state has changed since `expected_generation`.
        CommandRefused
            the engine could not load it; the live ensemble is untouched.
        EngineUnavailable
            where it can't be loaded because the engine is away; nothing has changed.
        """
        return self._make_live(self._find(name, version), "activate", actor, reason, expected_generation)

    def rollback(self, actor: str, reason: str, expected_generation: int | None = None) -> Activated:
        """Go back to the last ensemble before the live one that is still there and can be loaded, with the members that it had; otherwise as `activate`.

        Raises
        ------
        RequestRefused
            409 where there is none.
        """
        for bundle in self._usable_earlier(look_again=True):
            try:
                return self._make_live(bundle, "rollback", actor, reason, expected_generation)
            except (CommandRefused, BundleError, RequestRefused) as error:
                if isinstance(error, RequestRefused) and error.status not in (404, 409):
                    raise
                if isinstance(error, _TakenBack) and expected_generation is not None:
                    expected_generation = error.generation
                log.error("no way back to %s: %s", reference(bundle), error)
        tried = ", ".join(str(one.ensemble) for one in self._keeper.wish.earlier)
        none = f"no ensemble that was live before {self._keeper.wish.live.ensemble} is left to go back to"
        raise RequestRefused(409, "nothing_earlier", f"{tried} can't be used any more" if tried else none)

    @property
    def rollback_to(self) -> EnsembleRef | None:
        """The ensemble that `rollback` would try first."""
        return next(map(reference, self._usable_earlier(look_again=False)), None)

    def _usable_earlier(self, *, look_again: bool) -> Iterator[Bundle]:
        """Ensembles that were live before, the last one first, without those that have left the registry or are damaged.

        look_again : also at those that were found damaged, whose files have to be read for that
        """
        for one in self._keeper.wish.earlier:
            ref = one.ensemble
            known = self._unusable.get(ref)
            if isinstance(known, BundleError) and not look_again:
                continue
            try:
                bundle = self._opened(ref.name, ref.version)
            except (NotRegistered, BundleError) as error:
                self._unusable[ref] = error
                if str(error) != str(known):
                    log.warning("%s was live before and can't be used any more: %s", ref, error)
                continue
            if reference(bundle) == ref:
                yield bundle

    def shadow(self, name: str, version: str, actor: str, reason: str, expected_generation: int | None = None) -> Activated:
        """Have a registered ensemble run beside the live one on every Nth frame, never counting, until promoted (`activate`) or dropped.

        Raises
        ------
        RequestRefused
            404 not registered, 409 it is the live one, 412 the state has changed since `expected_generation`.
        """
        bundle = self._find(name, version)
        ref = reference(bundle)
        if self._keeper.wish.live.ensemble == ref:
            raise RequestRefused(409, "live_already", f"{ref} is the live ensemble; it can't be compared with itself")
        with self._staged(bundle) as seconds, self._keeper.turn(expected_generation) as before:
            self._check_still_there(ref)
            self._keeper.remember(replace(before, candidate=ref), _entry("shadow", before.candidate, ref, actor, reason, before.generation))
            self._tell_candidate(actor, reason)
            return Activated(before.generation, seconds)

    def drop_candidate(self, actor: str, reason: str, expected_generation: int | None = None) -> int:
        """Take the candidate off the bench; returns the generation, which does not change.

        Raises
        ------
        RequestRefused
            404 where there is none, 412 the state has changed since `expected_generation`.
        """
        with self._keeper.turn(expected_generation) as before:
            if before.candidate is None:
                raise RequestRefused(404, "no_candidate", "no ensemble runs beside the live one")
            self._keeper.remember(replace(before, candidate=None), _entry("drop_candidate", before.candidate, None, actor, reason, before.generation))
            self._tell_candidate(actor, reason)
            return before.generation

    def remind_of_candidate(self) -> None:
        """Bring an engine up to a candidate that it has missed; one that can't be loaded here any more is given up."""
        wanted = self._keeper.wish.candidate
        try:
            self._tell_candidate("control", "the engine had missed this change")
        except (AtomstreamError, BundleError) as error:
            self._give_up_candidate(wanted, str(error))

    def _give_up_candidate(self, wanted: EnsembleRef | None, why: str) -> None:
        with self._keeper.turn() as before:
            if wanted is not None and before.candidate == wanted:
                log.error("candidate %s is given up: %s", wanted, why)
                self._keeper.remember(replace(before, candidate=None), _entry("drop_candidate", before.candidate, None, "control", why, before.generation))

    def _tell_candidate(self, actor: str, reason: str) -> None:
        candidate = self._keeper.wish.candidate
        folder = None if candidate is None else str(self._shelf(candidate.name, candidate.version).folder)
        arguments = {"sha256": None if candidate is None else candidate.sha256, "folder": folder, "why": {"actor": actor, "reason": reason}}
        try:
            self._call("set_candidate", arguments, timeout_s=self._load_s)
        except EngineUnavailable as error:
            log.warning("the candidate is told to the engine when it is back: %s", error)

    def follow(self, status: Mapping[str, Any]) -> None:
        """Take note of what an engine's status says of a trial: that it has passed, or that the last good ensemble is back."""
        wish, trial = self._keeper.wish, self._keeper.wish.trial
        if trial is None:
            return
        reverted, generation = status["reverted"], status["ensemble"]["generation"]
        if reverted is not None and generation == trial.generation:
            with self._keeper.turn() as before:
                if before.trial == trial:
                    self._give_up(before, "engine", reverted["reason"])
        elif status["trial"] is None and generation == wish.generation:
            with self._keeper.turn() as before:
                if before == wish:
                    self._keeper.settle(replace(before, trial=None))

    def engine_ended(self, *, again: bool = False) -> bool:
        """Before an engine that has ended is started again: go back to the last good ensemble where it was in a trial; whether anything has changed.

        again : it ended a moment ago, too; then a candidate is suspected and given up
        """
        wish = self._keeper.wish
        try:
            if again and wish.candidate is not None:
                self._give_up_candidate(wish.candidate, "the engine ended again and again while it ran beside the live ensemble")
            with self._keeper.turn() as before:
                if before.trial is not None:
                    self._give_up(before, "control", "the engine ended while the new ensemble answered its first frames")
        except StoreUnwritable as error:
            # An engine with the ensemble on trial is better than none for as long as the disk is full.
            log.error("the engine is started again with what it had: %s", error)
        return self._keeper.wish != wish

    def _give_up(self, before: Wish, actor: str, reason: str) -> None:
        after = brought_back(before)
        self._keeper.remember(after, _entry("revert", before.live.ensemble, after.live.ensemble, actor, reason, after.generation))
        self._meters.reverted()
        log.error("%s failed in its first frames, %s is back: %s", before.live.ensemble, after.live.ensemble, reason)

    def _make_live(self, bundle: Bundle, action: str, actor: str, reason: str, expected_generation: int | None) -> Activated:
        ref = reference(bundle)
        if self._keeper.wish.live.ensemble == ref:
            with self._keeper.turn(expected_generation) as before:
                if before.live.ensemble == ref:
                    self._keeper.tell(actor, reason)
                    return Activated(before.generation, 0.0)
        with self._meters.swap():
            return self._swap(bundle, action, actor, reason, expected_generation)

    def _swap(self, bundle: Bundle, action: str, actor: str, reason: str, expected_generation: int | None) -> Activated:
        ref = reference(bundle)
        with self._staged(bundle) as seconds, self._keeper.turn(expected_generation) as before:
            self._check_still_there(ref)
            after = with_ensemble(before, ref, bundle.card.member_ids, on_trial=self._trial_frames > 0)
            if after.live.enabled < self._min_active:
                raise RequestRefused(409, "min_active", f"{ref} would have {after.live.enabled} members enabled, at least {self._min_active} must be")
            try:
                self._keeper.carry_out(after, _entry(action, before.live.ensemble, ref, actor, reason, after.generation))
            except CommandRefused as error:
                # The engine could not load it after all, and still answers with the ensemble before.
                back = replace(before, generation=after.next_generation)
                self._keeper.remember(back, _entry("revert", ref, before.live.ensemble, "control", str(error), back.generation))
                raise _TakenBack(error, back.generation) from error
            return Activated(after.generation, seconds)

    def _check_still_there(self, ref: EnsembleRef) -> None:
        """An ensemble may have been removed while it was loaded."""
        if reference(self._find(ref.name, ref.version)) != ref:
            raise RequestRefused(409, "changed_meanwhile", f"{ref} is another bundle by now")

    @contextlib.contextmanager
    def _staged(self, bundle: Bundle) -> Iterator[float]:
        """A bundle loaded beside the live ensemble, to be taken up within the context, and let go of where it is not; yields the seconds that loading took.

        An engine that falls silent meanwhile may load it all the same, and hold it for nobody: see `let_go`.
        """
        sha256 = bundle.sha256
        with self._lock:
            self._asked_for[sha256] += 1
        try:
            yield self._call("stage", {"sha256": sha256, "folder": str(bundle.folder)}, timeout_s=self._load_s).body["seconds"]
        except Exception:
            if self._asked_for[sha256] == 1 and sha256 not in self._wanted():
                with contextlib.suppress(EngineUnavailable):
                    self._call("drop", {"sha256": sha256}, timeout_s=_DROP_S)
            raise
        finally:
            with self._lock:
                self._asked_for -= Counter((sha256,))

    def let_go(self, status: Mapping[str, Any]) -> None:
        """Have an engine drop what its status says it holds loaded for an activation that is over, carried out or not.

        One that is dropped just as somebody asks for it anew is loaded once more.
        """
        if not status["staged"]:
            return
        running = {status["ensemble"]["sha256"], None if status["candidate"] is None else status["candidate"]["sha256"]}
        awaited = self._wanted() - running
        for sha256 in status["staged"]:
            if not self._asked_for[sha256] and sha256 not in awaited:
                log.warning("the engine holds ensemble %s for nobody; it is let go of", sha256[:12])
                self._call("drop", {"sha256": sha256}, timeout_s=_DROP_S)

    def _wanted(self) -> set[str]:
        """Checksums of the ensembles that the engine is to run, whether or not it has heard of it."""
        wish = self._keeper.wish
        return {one.sha256 for one in (wish.live.ensemble, wish.candidate) if one is not None}

    def _find(self, name: str, version: str) -> Bundle:
        try:
            return self._opened(name, version)
        except NotRegistered as error:
            raise RequestRefused(404, "not_registered", str(error)) from error

    def _opened(self, name: str, version: str) -> Bundle:
        bundle = self._shelf(name, version)
        self._unusable.pop(reference(bundle), None)
        return bundle


def reference(bundle: Bundle) -> EnsembleRef:
    """How a wish names a bundle."""
    return EnsembleRef(bundle.card.name, bundle.card.version, bundle.sha256)


def _entry(action: str, before: EnsembleRef | None, after: EnsembleRef | None, actor: str, reason: str, generation: int) -> Entry:
    named = [None if one is None else {"name": one.name, "version": one.version, "sha256": one.sha256} for one in (before, after)]
    return Entry(actor, action, str(after or before), reason, named[0], named[1], generation)
