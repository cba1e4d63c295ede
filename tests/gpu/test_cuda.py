"""What needs a GPU: the same code paths as on the CPU, on CUDA."""

from __future__ import annotations

import numpy as np
import pytest

from atomstream_models.bundle import Bundle
from atomstream_models.runtime import accept, load_ensemble, runtime_report
from atomstream_service.demo import Launched

_report = runtime_report()
pytestmark = pytest.mark.skipif(
    not _report.cuda_devices or "CUDAExecutionProvider" not in _report.providers_built_in,
    reason=f"no CUDA here: {_report.cuda_devices} devices, {_report.runtime} built with {', '.join(_report.providers_built_in)}",
)


def test_auto_takes_the_gpu_and_says_so(graphene: Bundle) -> None:
    ensemble = load_ensemble(graphene, "auto")

    assert ensemble.device == "cuda"
    assert ensemble.providers[0] == "CUDAExecutionProvider"


def test_cuda_gives_the_golden_answers(graphene: Bundle) -> None:
    accept(load_ensemble(graphene, "cuda"))


@pytest.mark.parametrize("shape", [(512, 512), (256, 320)])
def test_cuda_and_cpu_agree(graphene: Bundle, shape: tuple[int, int]) -> None:
    tensor = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
    ids = graphene.card.member_ids
    on_gpu = load_ensemble(graphene, "cuda").run(tensor, ids)
    on_cpu = load_ensemble(graphene, "cpu").run(tensor, ids)

    np.testing.assert_allclose(np.stack(on_gpu), np.stack(on_cpu), atol=1e-3)


def test_the_service_runs_on_the_gpu_and_says_so(service: Launched) -> None:
    engine = service.control().status()["engine"]

    assert engine["device"] == "cuda"
    assert engine["providers"][0] == "CUDAExecutionProvider"
