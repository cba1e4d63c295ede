"""What the project is for, as one story over REST: conditions drift, members go out, a refinement learns from what was just seen and becomes live."""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
from conftest import dots, make_plain_bundle
from numpy.typing import NDArray
from waiting import until

from atomstream_client import Atoms, ControlClient, FramePublisher, ResultSubscriber
from atomstream_models.metrics import score
from atomstream_service.demo import Launched, launched

CENTRES = [(float(y), float(x)) for y in range(12, 120, 16) for x in range(12, 120, 16)]
_SETTINGS = """
warm_shapes = [[128, 128]]
shadow_every = 2
trial_frames = 3
refinement_priority = "normal"
refinement_cores = 2
[drift]
window = 20
sustain = 3
"""
_QUICK = {
    "strategy": "scratch",
    "count": 2,
    "steps": 60,
    "settings": {"data.crops": 48, "data.crop_px": 48, "data.validation": 6, "training.batch": 8, "training.rate": 4e-3, "training.validate_every": 30},
}


class Scope:
    """A microscope whose atoms fade while the background rises, seen by five members of which two take bright background for atoms."""

    def __init__(self, service: Launched) -> None:
        self._publisher = FramePublisher("test/scope", service.frames)
        self._results = ResultSubscriber(service.results, kinds=("atoms",))
        self._random = np.random.default_rng(7)

    def __enter__(self) -> Scope:
        assert self._publisher.wait_for_reader()
        time.sleep(0.2)
        return self

    def __exit__(self, *ignored: object) -> None:
        self._publisher.close()
        self._results.close()

    def frame(self, drift: float) -> NDArray[np.float32]:
        image = dots((128, 128), CENTRES, height=4.0 - 1.0 * drift) + 1.2 * drift
        noisy: NDArray[np.float32] = image + self._random.normal(0, 0.05, image.shape).astype(np.float32)
        return noisy

    def send(self, drift: float) -> Atoms:
        self._publisher.publish(self.frame(drift), pixel_size=(0.01, 0.01))
        answer = self._results.receive(30)
        assert isinstance(answer, Atoms)
        return answer

    def f1(self, drift: float, frames: int = 5) -> float:
        """Mean F1 over some frames, as the live ensemble answers them."""
        truth = np.array(CENTRES)
        return float(np.mean([score(self.send(drift).atoms[:, :2], truth, 5.0).f1 for _ in range(frames)]))


def _blamed(control: ControlClient) -> list[str]:
    standing = control.drift.standing()["sources"].get("test/scope", {"members": {}})
    return [member for member, one in standing["members"].items() if one["alarm"]["raised"]]


def test_drift_is_seen_members_go_out_a_refinement_takes_over_and_a_killed_service_comes_back_as_it_was(tmp_path: Path) -> None:
    bundle = make_plain_bundle(tmp_path / "bundle", biases=(-4.2, -4.1, -4.0, -1.35, -1.25), threshold=0.3)
    start = partial(launched, tmp_path / "state", bundle=str(bundle.folder), config=_SETTINGS)
    with start() as service, Scope(service) as scope:
        control = service.control("an autonomous experiment")
        for _ in range(25):
            scope.send(0.0)
        calm = scope.f1(0.0)
        for _ in range(15):
            scope.send(1.0)
        drifted = scope.f1(1.0)
        blamed = until(lambda: _blamed(control), lambda found: len(found) == 2)

        with control.lease.held(reason="members out, then a new ensemble"):
            for member in blamed:
                control.set_member(member, "disabled", reason="drift")
            without = scope.f1(1.0)
            for _ in range(6):
                scope.send(1.0)
            job = control.refinements.start(ring={"last": 6}, parameters=_QUICK, name="refined", version="1", then="shadow", reason="from what was just seen")
            shares = [event["share"] for event in control.refinements.follow(job)]
            done = control.refinements.wait(job)
            until(lambda: (scope.send(1.0), control.ensembles.candidate())[1], lambda one: one is not None and one["frames"] >= 3)
            candidate = control.ensembles.candidate()
            activated = control.ensembles.activate("refined", "1", reason="it agrees with the good members")
        refined = scope.f1(1.0)
        until(lambda: [one["use"] for one in control.ensembles.list()["ensembles"]], lambda uses: "last_good" not in uses)
        before = control.status()
        os.kill(service.process.pid, signal.SIGKILL)
        service.process.wait()
    with start() as service, Scope(service) as scope:
        after = service.control().status()
        answered = scope.send(1.0)
        journal = [line["action"] for line in service.control().journal(limit=1000)]

    assert calm > 0.98
    assert drifted < 0.8
    assert sorted(blamed) == ["m03", "m04"]
    assert without > 0.98
    assert shares == sorted(shares)
    assert done["state"] == "done", done
    assert done["ensemble"]["name"] == "refined"
    assert candidate is not None
    assert candidate["agreement"]["f1"] > 0.9
    assert refined > 0.95
    assert (activated.name, before["ensemble"]["name"]) == ("refined", "refined")
    for key in ("name", "version", "sha256", "generation"):
        assert after["ensemble"][key] == before["ensemble"][key]
    assert answered.report.ensemble.name == "refined"
    assert [one for one in journal if one in ("refine", "register", "shadow", "activate")] == ["refine", "register", "shadow", "activate"]
