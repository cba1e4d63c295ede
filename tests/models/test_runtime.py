from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import dots, make_plain_bundle

from atomstream_models.analysis import MemberFailed, infer, prepare
from atomstream_models.bundle import Bundle
from atomstream_models.runtime import LoadError, load_ensemble, runtime_report


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_members_answer_in_the_order_asked_for(tmp_path: Path, threads: int) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, biases=(-3.0, 0.0, 3.0)), threads=threads)
    outputs = ensemble.run(np.zeros((1, 1, 8, 16), np.float32), ["m02", "m00", "m01"])

    np.testing.assert_allclose([one[0, 0, 0] for one in outputs], 1 / (1 + np.exp([-3.0, 3.0, 0.0])), rtol=1e-5)
    assert set(ensemble.last_ms) == {"m00", "m01", "m02"}


def test_only_the_members_asked_for_run(tmp_path: Path) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, biases=(-3.0, 0.0, 3.0)))
    ensemble.run(np.zeros((1, 1, 8, 16), np.float32), ["m01"])

    assert set(ensemble.last_ms) == {"m01"}


def test_a_member_whose_answer_is_not_finite_is_named(tmp_path: Path) -> None:
    ensemble = load_ensemble(make_plain_bundle(tmp_path, biases=(-1.0, float("nan"))))
    prepared = prepare(dots((16, 16), [(8, 8)]), None, ensemble.card)

    with pytest.raises(MemberFailed) as failure:
        infer(prepared, ensemble.card, ["m00", "m01"], ensemble.answer)
    assert failure.value.member == "m01"


def test_a_file_that_is_no_network_is_refused_by_name(plain_bundle: Bundle) -> None:
    plain_bundle.member_path("m01").write_bytes(b"not a network")

    with pytest.raises(LoadError, match=r"m01\.onnx"):
        load_ensemble(plain_bundle)


@pytest.mark.skipif(runtime_report().cuda_devices > 0, reason="this machine has a GPU")
def test_cuda_is_never_claimed_where_there_is_none(plain_bundle: Bundle) -> None:
    assert load_ensemble(plain_bundle, "auto").device == "cpu"
    with pytest.raises(LoadError, match="cuda"):
        load_ensemble(plain_bundle, "cuda")
