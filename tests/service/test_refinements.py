from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import dots, make_plain_bundle
from pydantic import ValidationError

from atomstream_models.bundle import Bundle, open_bundle
from atomstream_models.errors import ExtraMissing
from atomstream_service.refinements import (
    FollowedEvent,
    FramesFile,
    RefinementBusy,
    RefinementJob,
    RefinementParameters,
    RefinementRefused,
    RefinementRequest,
    Refinements,
    RefinementState,
    RefinementUnknown,
)

LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
SMALL: dict[str, Any] = {"data.crops": 16, "data.crop_px": 32, "data.validation": 4, "training.batch": 2, "training.norm_batches": 1}
STEPS: dict[str, Any] = {"training.validate_every": 2, "training.checkpoint_every": 2}


@pytest.fixture(scope="module")
def parent(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return make_plain_bundle(tmp_path_factory.mktemp("parent"))


@pytest.fixture(scope="module")
def movie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("movie") / "movie.npz"
    centres = [(float(y), float(x)) for y in range(10, 90, 16) for x in range(12, 100, 16)]
    np.savez(file, images=np.stack([dots((96, 104), centres, height=3.0 + 0.1 * k) for k in range(2)]), pixel_size_nm=0.01)
    return file


def _request(movie: Path, steps: int = 4, count: int = 1, **changes: Any) -> RefinementRequest:
    how = RefinementParameters(recipe="refine", strategy="scratch", steps=steps, count=count, settings={**SMALL, **STEPS})
    return RefinementRequest(frames=FramesFile(path=movie), parameters=how, **changes)


@pytest.fixture
def refinements(tmp_path: Path) -> Iterator[Refinements]:
    running = Refinements(tmp_path / "refinements", priority="normal")
    yield running
    running.close()


def _processes(folder: Path) -> list[int]:
    """Processes whose command line, or whose parent's, names the folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                group = int((entry / "stat").read_text().rpartition(")")[2].split()[2])
                named = str(folder) in (entry / "cmdline").read_text()
                led = Path(f"/proc/{group}/cmdline")
                named = named or (group != os.getpgrp() and led.exists() and str(folder) in led.read_text())
            except OSError:
                continue
            if named:
                found.append(int(entry.name))
    return found


def _until(what: Any, timeout_s: float = 200.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def _until_trained(refinements: Refinements, name: str, steps: int = 2) -> None:
    """Follow a refinement until a member has done some steps."""
    for event in refinements.follow(name, beat_s=1.0):
        if event is not None and event.step is not None and event.step >= steps:
            return
    pytest.fail(f"it ended before: {refinements.get(name)}")


def test_a_refinement_tells_every_step_in_order_and_ends_as_a_bundle(refinements: Refinements, parent: Bundle, movie: Path) -> None:
    begun = refinements.start(_request(movie, name="better", version="7", leave_out=((0, 40, 0, 40),)), parent.folder, "kim")
    beside: list[FollowedEvent | None] = []
    follower = threading.Thread(target=lambda: beside.extend(refinements.follow(begun.id, beat_s=0.1)))
    follower.start()
    events = [event for event in refinements.follow(begun.id) if event is not None]
    follower.join()
    job = refinements.get(begun.id)

    assert begun.state is RefinementState.QUEUED
    assert (job.state, job.actor, job.error, job.share) == (RefinementState.DONE, "kim", None, 1.0)
    assert job.bundle is not None
    card = open_bundle(job.bundle).card
    assert (card.name, card.version, card.training["left_out"]) == ("better", "7", [[0, 40, 0, 40]])
    stages = [event.stage for event in events]
    assert sorted(set(stages), key=stages.index) == ["labels", "images", "train", "pack", "done"]
    assert stages == sorted(stages, key=["labels", "images", "train", "pack", "done"].index)
    shares = [event.share for event in events]
    assert shares == sorted(shares)
    assert [event.step for event in events if event.step is not None][-1] == 4
    assert [event.number for event in events] == list(range(len(events)))
    # Whoever follows as well, comes late, or comes again, gets the same; silence is told by None.
    assert [event for event in beside if event is not None] == events
    assert None in beside
    assert list(refinements.follow(begun.id)) == events
    assert list(refinements.follow(begun.id, after=2)) == events[3:]
    assert not list((Path(job.bundle).parent / "data").glob("*"))

    with pytest.raises(RefinementRefused, match="is done"):
        refinements.resume(begun.id)
    refinements.delete(begun.id)
    assert refinements.jobs() == []
    assert not job.bundle.exists()


@LINUX
def test_cancelling_ends_all_processes_and_what_was_trained_is_gone_on_from(refinements: Refinements, parent: Bundle, movie: Path, tmp_path: Path) -> None:
    job = refinements.start(_request(movie, steps=400), parent.folder, "kim")
    waiting = refinements.start(_request(movie), parent.folder, "kim")
    _until_trained(refinements, job.id)
    assert len(_processes(tmp_path)) >= 2
    with pytest.raises(RefinementRefused, match="cancel it first"):
        refinements.delete(job.id)
    assert refinements.cancel(waiting.id).state is RefinementState.CANCELLED
    assert refinements.cancel(job.id).state is RefinementState.CANCELLED

    assert _processes(tmp_path) == []
    told = [event for event in refinements.follow(job.id) if event is not None]
    assert told[-1].stage == "cancelled"
    with pytest.raises(RefinementRefused, match="is cancelled already"):
        refinements.cancel(job.id)

    before = max(event.step or 0 for event in told)
    assert refinements.resume(job.id).state is RefinementState.QUEUED
    first: list[FollowedEvent] = []
    for event in refinements.follow(job.id, after=told[-1].number, beat_s=1.0):
        if event is not None:
            first.append(event)
            if event.step is not None:
                break
    assert first[-1].step is not None
    assert first[-1].step >= before
    assert all(event.share >= told[-1].share for event in first)
    refinements.cancel(job.id)


SERVICE = """
import sys, time
from pathlib import Path
from atomstream_service.refinements import Refinements, RefinementRequest
folder, request, parent = sys.argv[1:]
refinements = Refinements(Path(folder), priority="normal")
refinements.start(RefinementRequest.model_validate_json(request), Path(parent), "kim")
time.sleep(600)
"""


@LINUX
def test_a_killed_service_leaves_no_process_and_its_refinement_can_be_resumed(parent: Bundle, movie: Path, tmp_path: Path) -> None:
    folder = tmp_path / "refinements"
    request = _request(movie, steps=30)
    service = subprocess.Popen([sys.executable, "-c", SERVICE, str(folder), request.model_dump_json(), str(parent.folder)])
    _until(lambda: list(folder.glob("*/run/1/members/m00/history.csv")))
    assert len(_processes(folder)) >= 3
    os.kill(service.pid, signal.SIGKILL)
    service.wait()
    _until(lambda: _processes(folder) == [], 30)

    again = Refinements(folder, priority="normal")
    (job,) = again.jobs()
    assert (job.state, job.request, job.actor) == (RefinementState.INTERRUPTED, request, "kim")
    again.resume(job.id)
    events = [event for event in again.follow(job.id) if event is not None]
    done = again.get(job.id)
    again.close()

    assert done.state is RefinementState.DONE, done.error
    assert "interrupted" in [event.stage for event in events]
    assert events[-1].stage == "done"
    # It went on from a checkpoint: the history tells of every step once.
    assert [line.split(",")[0] for line in (folder / job.id / "run/1/members/m00/history.csv").read_text().splitlines()[1:]][:3] == ["2", "4", "6"]


@LINUX
def test_what_a_killed_service_left_running_is_ended_before_its_folder_is_used_again(parent: Bundle, movie: Path, tmp_path: Path) -> None:
    first = Refinements(tmp_path, priority="normal")
    job = first.start(_request(movie, steps=4000), parent.folder, "kim")
    _until(lambda: first.get(job.id).stage is not None)
    second = Refinements(tmp_path, priority="normal")

    assert second.get(job.id).state is RefinementState.INTERRUPTED
    assert _processes(tmp_path) == []
    second.close()
    first.close()


@LINUX
def test_a_refinement_runs_behind_everything_else_from_its_first_moment(parent: Bundle, movie: Path, tmp_path: Path) -> None:
    refinements = Refinements(tmp_path)
    job = refinements.start(_request(movie), parent.folder, "kim")
    _until(lambda: _processes(tmp_path))
    (leader, *_) = _processes(tmp_path)

    _until(lambda: os.sched_getscheduler(leader) == os.SCHED_IDLE, 5)
    assert os.getpriority(os.PRIO_PROCESS, leader) == 19
    assert os.getpgid(leader) == leader
    refinements.cancel(job.id)
    refinements.close()
    assert _processes(tmp_path) == []


def test_what_fails_says_why_and_what_is_asked_in_vain_is_refused(refinements: Refinements, parent: Bundle, movie: Path, tmp_path: Path) -> None:
    with pytest.raises(RefinementRefused, match="no file of frames"):
        refinements.start(_request(tmp_path / "nowhere.npz"), parent.folder, "kim")
    with pytest.raises(RefinementRefused, match="no member m09"):
        refinements.start(_request(movie, members=("m09",)), parent.folder, "kim")
    with pytest.raises(RefinementUnknown, match=r"no refinement '\.\./x'"):
        refinements.get("../x")
    job = refinements.start(_request(movie, regions=((0, 300, 0, 10),)), parent.folder, "kim")
    events = list(refinements.follow(job.id))
    failed = refinements.get(job.id)

    assert failed.state is RefinementState.FAILED
    assert failed.error is not None
    assert "not inside frame 0" in failed.error
    assert [event.stage for event in events if event is not None][-1] == "failed"


def test_only_so_many_wait_and_only_so_many_are_kept(parent: Bundle, movie: Path, tmp_path: Path) -> None:
    refinements = Refinements(tmp_path, most_waiting=1, most_kept=4)
    jobs = [refinements.start(_request(movie, steps=4000), parent.folder, "kim")]
    _until(lambda: refinements.get(jobs[0].id).state is RefinementState.RUNNING)
    jobs += [refinements.start(_request(movie), parent.folder, "kim") for _ in range(2)]
    with pytest.raises(RefinementBusy, match="2 refinements wait already"):
        refinements.start(_request(movie), parent.folder, "kim")
    refinements.cancel(jobs[1].id)
    jobs.append(refinements.start(_request(movie), parent.folder, "kim"))
    refinements.cancel(jobs[2].id)
    with pytest.raises(RefinementBusy, match="4 refinements are kept already"):
        refinements.start(_request(movie), parent.folder, "kim")
    refinements.close()

    assert [job.id for job in refinements.jobs()] == [job.id for job in jobs]
    states = [job.state for job in refinements.jobs()]
    assert states == [RefinementState.INTERRUPTED, RefinementState.CANCELLED, RefinementState.CANCELLED, RefinementState.INTERRUPTED]
    listed = Refinements(tmp_path)
    assert [_at_rest(job) for job in listed.jobs()] == [_at_rest(job) for job in refinements.jobs()]
    listed.close()


def _at_rest(job: RefinementJob) -> dict[str, Any]:
    return job.as_json()


def test_without_the_extra_a_refinement_is_refused_by_its_name(refinements: Refinements, parent: Bundle, movie: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atomstream_service.extras.find_spec", lambda package: None if package == "torch" else object())
    with pytest.raises(ExtraMissing, match=r"atomstream\[train\]"):
        refinements.start(_request(movie), parent.folder, "kim")


@pytest.mark.parametrize(
    ("parameters", "complaint"),
    [
        ({"recipe": "/tmp/mine.toml"}, "recipe"),
        ({"recipe": "elit-graphene"}, "recipe"),
        ({"settings": {"data.scenes": [{"structures": "/etc/passwd"}]}}, "'data.scenes' can't be set"),
        ({"settings": {"networks": [{"filters": 256}]}}, "'networks' can't be set"),
        ({"settings": {"training.rate=1\n--ray": 1}}, "can't be set"),
        ({"settings": {"training.rate": "0.1 --ray"}}, "training.rate = "),
        ({"settings": {"training.batch": 100_000}}, "training.batch = 100000"),
        ({"settings": {"data.classes_by": "file"}}, "data.classes_by"),
        ({"classes": ["--ray"]}, "classes"),
        ({"classes": ["C,Si"]}, "classes"),
        ({"steps": 10**9}, "steps"),
        ({"count": 0}, "count"),
        ({"executor": "ray"}, "executor"),
    ],
)
def test_parameters_can_not_smuggle_in_paths_executors_or_endless_work(parameters: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValidationError, match=complaint):
        RefinementParameters.model_validate(parameters)


@pytest.mark.parametrize(
    "changes",
    [
        {"members": ["--ray"]},
        {"name": "-x"},
        {"version": "../.."},
        {"regions": [[0, 10, 5, 5]]},
        {"leave_out": [[-1, 10, 0, 5]]},
        {"regions": [[0, 1, 2]]},
        {"out": "/"},
    ],
)
def test_a_request_holds_only_what_a_refinement_can_use(movie: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        RefinementRequest.model_validate({"frames": {"path": str(movie)}, **changes})
