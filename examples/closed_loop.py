"""Put the beam on one impurity after the other while the specimen drifts: for Swift's Run Script window, and to adapt (docs/closed-loop.md).

`closed_loop_simulated.py` runs it against Nion's simulated microscope.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atomstream_client import Atoms, ClientError, ControlClient, Failure, FramePublisher, ResultSubscriber
from atomstream_client.steering import DriftUnclear, SpecimenDrift, doubts, surest
from nionswift_plugin.atomstream import ScanGeometry, ScanStreamer, Settings, context_geometry, scanned_s, to_shares

SETTINGS = Settings(frames="tcp://127.0.0.1:5555", results="tcp://127.0.0.1:5556")
SERVICE = "http://127.0.0.1:8000"
TOKEN: str | None = None  # of an operator, where the service asks for one (docs/access.md)
ACTOR = "closed loop"

NO_MEASUREMENT = frozenset(("blank", "rows_missing", "saturated", "uncalibrated", "single_member", "degraded"))
"""Flags of frames that the beam is not sent by."""


class Stopped(Exception):
    """Why the loop ended before its last visit. The beam is at its resting place."""


@dataclass(frozen=True)
class Plan:
    """What the loop does, and when it stops.

    kind : class of the atoms to visit
    visits, dwell_s, step_s : how many, how long, and how often the beam follows the drift meanwhile
    tolerance_nm : standard error of the beam's place that is allowed; a frame is taken when the prediction is worse, and at no other time
    neighbour_nm : distance between neighbouring atoms
    unsteady_nm_s2 : by how much the drift may change in a second; the more, the sooner a frame is needed
    max_drift_nm_s, max_moved_nm : faster or further than this, and the loop stops
    max_doubt : of atoms worth a visit (`atomstream_client.steering.doubts`)
    tries : frames in a row after which it has to be known well enough where the targets will be
    answer_s : seconds to wait for a frame's atoms
    rest : where the beam is between visits, as Nion's probe position; None = where the instrument leaves it
    """

    kind: str = "impurity"
    visits: int = 50
    dwell_s: float = 0.1
    step_s: float = 0.02
    tolerance_nm: float = 0.02
    neighbour_nm: float = 0.142
    unsteady_nm_s2: float = 0.01
    max_drift_nm_s: float = 0.5
    max_moved_nm: float = 10.0
    max_doubt: float = 1.5
    tries: int = 8
    answer_s: float = 10.0
    rest: tuple[float, float] | None = None


@dataclass
class Target:
    """An impurity.

    home_nm : its place when the loop began, the mean of all sightings, drift taken off
    first_nm, seen_nm : where it was seen first and last
    seen_s : when last, in seconds since the epoch
    """

    home_nm: NDArray[np.float64]
    first_nm: NDArray[np.float64]
    seen_nm: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    seen_s: float = 0.0
    doubt: float = 0.0
    sightings: int = 0
    visits: int = 0


@dataclass(frozen=True)
class Visit:
    """The beam is at `place_nm` (y, x) now, where the target should be, with a standard error."""

    number: int
    target: Target
    place_nm: NDArray[np.float64]
    error_nm: float


def script_main(api_broker: Any) -> None:
    """What Swift's Run Script window calls."""
    from nion.utils import Registry  # noqa: PLC0415 - there only in Swift's own Python

    interactive = api_broker.get_interactive("1")
    device = Registry.get_component("stem_controller").scan_controller
    try:
        with closed_loop(device, SETTINGS, SERVICE, Plan(), lambda visit: None, lambda: bool(interactive.cancelled), TOKEN) as loop:
            loop.run()
    except Stopped as reason:
        print(f"stopped: {reason}")


@contextlib.contextmanager
def closed_loop(
    device: Any,
    settings: Settings,
    service: str,
    plan: Plan,
    watch: Callable[[Visit], None],
    cancelled: Callable[[], bool] = lambda: False,
    token: str | None = None,
) -> Iterator[ClosedLoop]:
    """A loop with connections of its own; Stopped where no service listens."""
    source = f"nion/{device.hardware_source_id}/loop"
    with (
        FramePublisher(source, settings.frames, curve=settings.curve) as publisher,
        ResultSubscriber(settings.results, kinds=("atoms", "error"), source=source, curve=settings.curve) as results,
    ):
        if not publisher.wait_for_reader():
            raise Stopped(f"no service listens at {settings.frames}")
        yield ClosedLoop(device, publisher, results, ControlClient(service, actor=ACTOR, timeout_s=3, token=token), plan, watch, cancelled)


class ClosedLoop:
    """Looks, chooses and visits.

    device : Nion's scan hardware source, not scanning, and with the settings that frames are to have
    publisher, results : of a source of their own
    control : of the service, as `ACTOR`; the loop holds its lease, so that nobody else changes the ensemble meanwhile
    watch : called whenever the beam has been put somewhere, every `step_s`; measure here what you came for, and return soon: the beam stays meanwhile
    cancelled : whether the user has had enough
    """

    def __init__(
        self,
        device: Any,
        publisher: FramePublisher,
        results: ResultSubscriber,
        control: ControlClient,
        plan: Plan,
        watch: Callable[[Visit], None],
        cancelled: Callable[[], bool] = lambda: False,
    ) -> None:
        self._device, self._publisher, self._results, self._control = device, publisher, results, control
        self._plan, self._watch, self._cancelled = plan, watch, cancelled
        self.drift = SpecimenDrift(plan.neighbour_nm, unsteady_nm_s2=plan.unsteady_nm_s2)
        self.targets: list[Target] = []
        self._known: list[Target] = []
        self.frames = 0

    def run(self) -> None:
        """Make the visits. Whatever ends them, Ctrl+C included, the beam is at rest then.

        Raises
        ------
        Stopped
            saying why.
        """
        self._device.probe_position = self._plan.rest
        try:
            with self._control.lease.held(30, reason="closed loop"), ScanStreamer(self._device, self._publisher):
                number = 0
                while number < self._plan.visits:
                    self._look_until_known()
                    number += self._visit(number)
        except ClientError as error:
            raise Stopped(f"the service: {error}") from error

    def _look_until_known(self) -> None:
        """Take frames, but only if it isn't known well enough where the targets will be to the end of a visit."""
        plan, looked = self._plan, 0
        self._check()
        while not self.targets or self.drift.error_nm(time.time() + plan.dwell_s) > plan.tolerance_nm:
            if looked == plan.tries:
                raise Stopped(f"after {looked} more frames there is no {plan.kind} whose place is known to {plan.tolerance_nm} nm")
            self._look()
            looked += 1
            self._check()

    def _look(self) -> None:
        """Record a frame; learn the drift from it, and find the targets in it. What it does not show is not visited."""
        self.frames += 1
        self.targets = []
        result = self._record()
        report, atoms = result.report, result.atoms
        if self._plan.kind not in report.classes:
            raise Stopped(f"the ensemble {report.ensemble.name} knows no {self._plan.kind}, but {', '.join(report.classes)}")
        if NO_MEASUREMENT & set(report.flags) or not len(atoms):
            return
        places = ScanGeometry.from_json(report.vendor["geometry"]).to_nm(atoms[:, :2])
        scanned = scanned_s(report.t_end or report.t_recv, report.vendor, atoms[:, 0])
        try:
            self.drift.add(float(scanned.mean()), places, atoms[:, 2] == report.classes.index(self._plan.kind))
        except DriftUnclear:
            return
        doubt = doubts(result, self._plan.tolerance_nm)
        edge = self._plan.neighbour_nm / 2 / np.array(report.pixel_size)  # where atoms are cut, their places are pulled inwards
        whole = np.all((atoms[:, :2] > edge) & (atoms[:, :2] < np.array(report.shape) - 1 - edge), axis=1)
        for row in surest(result, self._plan.kind, self._plan.tolerance_nm):
            if doubt[row] <= self._plan.max_doubt and whole[row]:
                self.targets.append(self._target(places[row], float(scanned[row]), float(doubt[row])))

    def _target(self, place: NDArray[np.float64], scanned_s: float, doubt: float) -> Target:
        """The target that was seen at a place; the more often it was seen, the better its own place is known."""
        home = place - self.drift.at(scanned_s)
        near = [one for one in self._known if np.hypot(*(one.home_nm - home)) < self._plan.neighbour_nm / 2]
        if not near:
            self._known.append(Target(home, place))
        target = near[0] if near else self._known[-1]
        target.sightings += 1
        target.home_nm = target.home_nm + (home - target.home_nm) / target.sightings
        target.seen_nm, target.seen_s, target.doubt = place, scanned_s, doubt
        return target

    def _record(self) -> Atoms:
        """The atoms of a frame that is recorded now, never those of an older one."""
        seq, settings = self._publisher.sent + self._publisher.dropped, self._device.get_current_frame_parameters()
        if self._device.subscan_enabled:
            self._device.apply_scan_context_subscan(settings)
        try:
            recorded = self._device.record_immediate(settings)
        except BaseException:
            self._device.abort_recording()
            raise
        if not recorded:
            raise Stopped("the scan was aborted")
        limit = time.monotonic() + self._plan.answer_s
        while time.monotonic() < limit and not self._cancelled():
            result = self._results.receive(0.1)
            if isinstance(result, Failure) and (result.session, result.seq) == (self._publisher.session, seq):
                raise Stopped(f"the frame was not analysed: {result.message}")
            if isinstance(result, Atoms) and (result.report.session, result.report.seq) == (self._publisher.session, seq):
                return result
        raise Stopped("the user stopped it" if self._cancelled() else f"no atoms came back within {self._plan.answer_s} s")

    def _visit(self, number: int) -> bool:
        """Put the beam where the target will be, and follow it while it drifts; whether it was still within the scan."""
        target = min(self.targets, key=lambda one: one.visits)  # of those visited least often, the surest: they come in that order
        until = time.time() + self._plan.dwell_s
        try:
            while (now := time.time()) < until:
                if self._cancelled():
                    raise Stopped("the user stopped it")
                middle = min(now + self._plan.step_s / 2, until)
                place = target.home_nm + self.drift.at(middle)
                position = to_shares(context_geometry(self._device.scan_context), place[None])[0]
                if position.min() < 0 or position.max() > 1:
                    self.targets.remove(target)  # Nion would put the beam on the edge of the scan
                    return False
                self._device.probe_position = tuple(position)
                self._watch(Visit(number, target, place, self.drift.error_nm(middle)))
                time.sleep(max(0.0, min(now + self._plan.step_s, until) - time.time()))
        finally:
            self._device.probe_position = self._plan.rest
        target.visits += 1
        return True

    def _check(self) -> None:
        """Whether the loop may go on. What the service is asked for, which may take its time, comes first."""
        holder = (self._control.lease.holder() or {}).get("holder", "")
        if not holder.endswith(ACTOR):  # the name that a token has comes before
            raise Stopped("the lease was taken away")
        speed, moved = (float(np.hypot(*one)) for one in (self.drift.velocity_nm_s, self.drift.at(time.time())))
        if self._device.is_playing or self._device.is_recording:
            raise Stopped("a scan is running, and would take the beam along")
        context = self._device.scan_context
        if self._device.subscan_enabled and context.rotation_rad and len({*context.size}) > 1:
            raise Stopped("where a sub-scan lies in a scan that is turned and not square is not known (clients/nion/README.md)")
        if speed > self._plan.max_drift_nm_s or moved > self._plan.max_moved_nm:
            raise Stopped(f"the specimen drifts at {speed:.3f} nm/s and has moved by {moved:.2f} nm")
        if self._cancelled():
            raise Stopped("the user stopped it")
