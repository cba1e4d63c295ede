from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from atomstream_service.control._refusal import RequestRefused
from atomstream_service.control._single import Answered
from atomstream_service.control._wish import EnsembleRef
from atomstream_service.control.oip._infer import Infer, infer_batch

LIVE = EnsembleRef("plain", "1", "abc")
FRAMES = np.arange(3 * 4 * 5, dtype=np.uint16).reshape(3, 4, 5)


def _answered(frame: NDArray[Any], generation: int = 1, sha256: str = "abc") -> Answered:
    report = {"ensemble": {"generation": generation, "sha256": sha256}, "classes": ["C"], "members_used": ["m00"], "flags": []}
    return Answered(report, {"atoms": np.zeros((1, 10), np.float32), "mean": frame[None].astype(np.float32)})


def test_every_frame_is_a_request_of_its_own_and_the_maps_are_stacked_in_order() -> None:
    asked: list[NDArray[Any]] = []

    def infer(frame: NDArray[Any]) -> Answered:
        asked.append(frame)
        return _answered(frame)

    batch = infer_batch(FRAMES, infer, LIVE)

    np.testing.assert_array_equal(asked, FRAMES)
    np.testing.assert_array_equal(batch.outputs["mean"][:, 0], FRAMES)
    assert batch.outputs["atoms_count"].tolist() == [1, 1, 1]
    assert "std" not in batch.outputs


def _members_change(frame: NDArray[Any]) -> Answered:
    return _answered(frame, generation=2 if np.array_equal(frame, FRAMES[-1]) else 1)


def _another_ensemble(frame: NDArray[Any]) -> Answered:
    return _answered(frame, sha256="xyz")


@pytest.mark.parametrize("infer", [_members_change, _another_ensemble])
def test_a_batch_whose_members_or_ensemble_change_on_the_way_is_refused(infer: Infer) -> None:
    with pytest.raises(RequestRefused, match="send them again") as refused:
        infer_batch(FRAMES, infer, LIVE)

    assert refused.value.status == 503
