from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from ...errors import ExtraMissing, InputError
from .._errors import TrainingFailed
from .._files import write_whole
from .._member import MemberJob, train_member
from ..data import TrainingSet
from ._failure import GO_ON, blame, named

_RESULTS = ("member.onnx", "weights.pt", "spread.pt", "history.csv", "metrics.json")
"""What a training leaves; `spread.pt` only where members are drawn around the network."""


class RayExecutor:
    """Members on the machines of a Ray cluster, which needs no shared disk: data and results travel through Ray.

    A cluster elsewhere must use Ray's token authentication (RAY_AUTH_MODE=token), because whoever reaches it can run
    code on it. A member whose machine is lost is trained again from its beginning.

    address : of the cluster; None starts one on this machine alone
    gpus : GPUs for each member, may be a fraction

    Raises
    ------
    ExtraMissing
        where Ray is not installed.
    InputError
        for a cluster elsewhere without token authentication, or less than no GPU.
    """

    def __init__(self, address: str | None = None, gpus: float = 0.0) -> None:
        if not gpus >= 0:
            raise InputError(f"a member can't have {gpus:g} GPUs")
        try:
            import ray  # noqa: PLC0415
        except ImportError as error:
            raise ExtraMissing("ray", "ray") from error
        if address is not None and os.environ.get("RAY_AUTH_MODE") != "token":
            raise InputError(f"the Ray cluster at {address} would be used without authentication; set RAY_AUTH_MODE=token and its token, on it and here")
        self._ray: Any = ray
        self._gpus = gpus
        local = {"include_dashboard": False, "_node_ip_address": "127.0.0.1"} if address is None else {}
        ray.init(address=address, ignore_reinit_error=True, log_to_driver=False, **local)

    def train(self, jobs: Sequence[MemberJob]) -> Iterator[int]:
        """Train each job's member; yields their numbers as they are done. See `Executor`."""
        ray = self._ray
        remote = ray.remote(num_cpus=1, num_gpus=self._gpus, max_retries=3)(_train_elsewhere)
        # Read into memory: a mapped file means nothing on another machine.
        try:
            sets = {folder: ray.put(TrainingSet.load(folder).in_memory()) for folder in {job.data for job in jobs}}
        except ray.exceptions.RayError as error:
            raise TrainingFailed(f"Ray can't take the training images of {named(jobs[:1])}: {_in_a_line(error)}") from error
        weights = {path: path.read_bytes() for path in {job.weights for job in jobs} if path is not None}
        device = "cuda" if self._gpus else "cpu"
        todo = [job for job in jobs if not job.finished]
        yield from (job.member for job in jobs if job.finished)
        running = {remote.remote(replace(job, device=device), sets[job.data], weights.get(job.weights) if job.weights else None): job for job in todo}
        try:
            while running:
                (done,), _ = ray.wait(list(running))
                job = running.pop(done)
                for name, data in self._results(job, done).items():
                    write_whole(job.folder / name, partial(Path.write_bytes, data=data))
                yield job.member
        finally:
            for task in running:
                ray.cancel(task, force=True)

    def _results(self, job: MemberJob, task: Any) -> dict[str, bytes]:
        """The files that a task left, by name. See `Executor`."""
        errors = self._ray.exceptions
        job.folder.mkdir(parents=True, exist_ok=True)
        try:
            results: dict[str, bytes] = self._ray.get(task)
        except errors.RayError as error:
            # What the task itself raised comes wrapped; what happened to the task does not.
            reason = error.cause if isinstance(error, errors.RayTaskError) else error
            if isinstance(reason, errors.RayError):
                raise TrainingFailed(f"{named([job])} was lost on the Ray cluster: {_in_a_line(reason)}; {GO_ON}") from error
            blame(job, reason)
        return results


def _in_a_line(error: BaseException) -> str:
    """An error's kind and the first line of what it says; Ray adds many."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else 'no more is known'}"


def _train_elsewhere(job: MemberJob, data: TrainingSet, weights: bytes | None) -> dict[str, bytes]:
    """Train a member in a folder of this machine; answers its result files, the one that says it is finished last."""
    with tempfile.TemporaryDirectory(prefix="atomstream-member-") as place:
        folder = Path(place)
        data.save(folder / "data")
        start = None
        if weights is not None:
            start = folder / "start.pt"
            start.write_bytes(weights)
        train_member(replace(job, data=folder / "data", folder=folder / "member", weights=start))
        return {name: (folder / "member" / name).read_bytes() for name in _RESULTS if (folder / "member" / name).exists()}
