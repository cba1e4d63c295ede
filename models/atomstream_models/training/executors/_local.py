from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import torch

from .._errors import TrainingFailed
from .._member import MemberJob, train_member


class LocalExecutor:
    """Members side by side in processes of their own, each on one processor or one GPU.

    One thread a member: on a CPU several members at once finish sooner than one after the other with all threads.

    jobs : members trained at once; by default one a GPU, or one a processor
    """

    def __init__(self, jobs: int | None = None) -> None:
        self._gpus = torch.cuda.device_count()
        self._jobs = jobs or self._gpus or multiprocessing.cpu_count()

    def train(self, jobs: Sequence[MemberJob]) -> Iterator[int]:
        """Train each job's member; yields their numbers as they are done. See `Executor`."""
        placed = [replace(job, device=f"cuda:{k % self._gpus}") for k, job in enumerate(jobs)] if self._gpus else list(jobs)
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(min(self._jobs, max(len(placed), 1)), context, _prepare) as pool:
            running = {pool.submit(train_member, job): job for job in placed}
            try:
                while running:
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield self._result(running.pop(future), future.exception())
            finally:
                for future in running:
                    future.cancel()

    @staticmethod
    def _result(job: MemberJob, error: BaseException | None) -> int:
        if isinstance(error, BrokenProcessPool):
            raise TrainingFailed(f"the process of member {job.member} died, perhaps for want of memory; start again to go on where it was") from error
        if isinstance(error, TrainingFailed):
            raise TrainingFailed(f"member {job.member}: {error}") from error
        if error is not None:
            raise error
        return job.member


def _prepare() -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Do not train on for nobody where the parent was killed: whoever starts the run again would write to the same folder."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
