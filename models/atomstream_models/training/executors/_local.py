from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from multiprocessing import connection
from multiprocessing.connection import Connection

import torch

from ...errors import InputError
from .._errors import TrainingFailed
from .._member import MemberJob, train_member
from ._failure import GO_ON, blame, named


class LocalExecutor:
    """Members side by side in processes of their own, each on one processor or one GPU.

    One thread a member: on a CPU several members at once finish sooner than one after the other with all threads.

    jobs : members trained at once; by default one a GPU, or one a processor

    Raises
    ------
    InputError
        for fewer than one.
    """

    def __init__(self, jobs: int | None = None) -> None:
        if jobs is not None and jobs < 1:
            raise InputError(f"{jobs} members can't be trained at once; it takes one job or more")
        self._gpus = torch.cuda.device_count()
        self._jobs = jobs or self._gpus or multiprocessing.cpu_count()

    def train(self, jobs: Sequence[MemberJob]) -> Iterator[int]:
        """Train each job's member; yields their numbers as they are done. See `Executor`."""
        placed = [replace(job, device=f"cuda:{k % self._gpus}") for k, job in enumerate(jobs)] if self._gpus else list(jobs)
        workers = min(self._jobs, max(len(placed), 1))
        context = multiprocessing.get_context("spawn")
        wanted_there, wanted = context.Pipe(duplex=False)
        pool = ProcessPoolExecutor(workers, context, _prepare, (wanted_there,))
        running = {pool.submit(train_member, job): job for job in placed}
        try:
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in sorted(done, key=_broken):
                    error = future.exception()
                    if isinstance(error, BrokenProcessPool):
                        raise TrainingFailed(_died(list(running.values())[:workers])) from error
                    job = running.pop(future)
                    if error is not None:
                        blame(job, error)
                    yield job.member
        finally:
            if running:
                wanted.close()
            pool.shutdown(cancel_futures=True)
            wanted.close()
            wanted_there.close()


def _broken(future: Future[int]) -> bool:
    return isinstance(future.exception(), BrokenProcessPool)


def _died(training: Sequence[MemberJob]) -> str:
    """Says that one of the processes died. Which one is not known: its pool ends the others with it."""
    return f"the process of {named(training)} died, perhaps for want of memory; {GO_ON}"


def _prepare(wanted: Connection) -> None:
    torch.set_num_threads(1)
    threading.Thread(target=_end_when_unwanted, args=(wanted,), daemon=True).start()


def _end_when_unwanted(wanted: Connection) -> None:
    """Do not train on for nobody where another member failed or the parent was killed: whoever starts again would write to the same folder.

    wanted : nothing comes from it; it ends with the need for this process
    """
    parent = multiprocessing.parent_process()
    connection.wait([wanted] if parent is None else [wanted, parent.sentinel])
    os._exit(1)
