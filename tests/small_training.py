"""Trainings that take a second or two."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from atomstream_models.training import MemberJob, Recipe, parse_recipe, train_member


class HereExecutor:
    """Trains members one after the other in this process: no process takes seconds to start."""

    def train(self, jobs: Sequence[MemberJob]) -> Iterator[int]:
        for job in jobs:
            yield train_member(job)


def train_here(patch: pytest.MonkeyPatch) -> None:
    """Lets commands that refine train in this process, too."""
    patch.setattr("atomstream_models.training.commands._refine.executor", lambda given: HereExecutor())


def tiny(**training: Any) -> Recipe:
    """A recipe that trains in a second or two."""
    return parse_recipe(
        {
            "name": "tiny",
            "classes": ["host", "impurity"],
            "pixel_size_nm": [0.008, 0.015],
            "data": {"kind": "simulated", "patches": 12, "validation": 4, "patch_px": 48},
            "augmentation": {"kind": "atomstream", "intensity": {"noise": [0.05, 0.2]}},
            "networks": [{"filters": 4}],
            "training": {"members": 2, "steps": 20, "batch": 4, "validate_every": 5, "checkpoint_every": 5, "norm_batches": 2, "swa_every": 2, **training},
        },
        "tiny",
    )
