from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import torch

from .._errors import TrainingFailed
from .._member import BASELINE, MemberJob

GO_ON = "start again to go on where it was"


def named(jobs: Sequence[MemberJob]) -> str:
    """What a message calls these jobs' networks, of which one is meant."""
    return " or ".join("the baseline network" if job.member == BASELINE else f"member {job.member}" for job in jobs)


def blame(job: MemberJob, error: BaseException) -> NoReturn:
    """Raise what a training raised, naming the job's network: a bug as it is, with a note.

    Raises
    ------
    TrainingFailed
        in place of an error that is no bug.
    """
    if isinstance(error, TrainingFailed):
        raise TrainingFailed(f"{named([job])}: {error}") from error
    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        said = str(error) or type(error).__name__
        raise TrainingFailed(f"{named([job])}: there is not enough memory ({said}); fewer members at once or a smaller batch may help") from error
    error.add_note(f"while training {named([job])}")
    raise error
