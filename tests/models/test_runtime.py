from __future__ import annotations

import subprocess
import sys
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


_WORKING_MEMORY = """
import resource, sys
from pathlib import Path
import numpy as np
from atomstream_models.bundle import open_bundle
from atomstream_models.runtime import load_ensemble
ensemble = load_ensemble(open_bundle(Path(sys.argv[1])), "cpu", threads=1)
frame = np.zeros((1, 1, 768, 768), np.float32)
members = ensemble.card.member_ids
peaks = []
for some in (members[:1], members[:1], members):
    for member in some:
        ensemble.run(frame, [member])
    peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
print(peaks[-1] - peaks[0], *peaks)
"""


def test_members_that_run_one_after_another_share_their_working_memory(graphene: Bundle) -> None:
    done = subprocess.run([sys.executable, "-c", _WORKING_MEMORY, str(graphene.folder)], capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    grown_mb = float(done.stdout.split()[0])
    # One member takes some 120 MB for such a frame.
    assert grown_mb < 60, done.stdout
