from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from small_training import HereExecutor, tiny

from atomstream_models.errors import InputError
from atomstream_models.training import MemberJob, Run, TrainingFailed, train_ensemble
from atomstream_models.training.data import simulate
from atomstream_models.training.executors import RayExecutor, _ray

ray = pytest.importorskip("ray", reason="the extra ray is not installed")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in the processes that train members: results depend on the number of threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def cluster() -> Iterator[RayExecutor]:
    """A cluster of this machine alone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        yield RayExecutor()
        ray.shutdown()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_members_trained_on_a_ray_cluster_are_those_trained_here(cluster: RayExecutor, tmp_path: Path) -> None:
    here, there = Run(tmp_path / "here"), Run(tmp_path / "there")
    train_ensemble(tiny(), here, HereExecutor())
    card = train_ensemble(tiny(), there, cluster)
    for member in range(2):
        one, other = (torch.load(run.member(member) / "weights.pt", weights_only=True) for run in (here, there))
        assert all(torch.equal(one[name], other[name]) for name in one)

    assert len(card.members) == 2


def test_a_cluster_elsewhere_without_authentication_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1 would be used without authentication"):
        RayExecutor("127.0.0.1:1")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_swag_on_a_ray_cluster_draws_the_members_that_it_draws_here(cluster: RayExecutor, tmp_path: Path) -> None:
    here, there = Run(tmp_path / "here"), Run(tmp_path / "there")
    for run, executor in ((here, HereExecutor()), (there, cluster)):
        train_ensemble(tiny(strategy="swag", baseline_steps=20), run, executor)
    one, other = (torch.load(run.member(1) / "weights.pt", weights_only=True) for run in (here, there))

    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_what_fails_on_a_ray_cluster_is_named(cluster: RayExecutor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simulate(tiny().data, 2, 1).save(tmp_path / "data")  # type: ignore[arg-type]
    endless = MemberJob(tiny(steps=10_000_000), 0, tmp_path / "data", tmp_path / "m00")
    failing = MemberJob(tiny(rate=1e30, schedule="constant"), 1, tmp_path / "data", tmp_path / "m01")
    with pytest.raises(TrainingFailed, match="member 1: the loss is no longer finite"):
        list(cluster.train([endless, failing]))
    monkeypatch.setattr(_ray, "_train_elsewhere", lambda *_: os._exit(1))
    with pytest.raises(TrainingFailed, match="member 1 was lost on the Ray cluster: WorkerCrashedError"):
        list(cluster.train([failing]))


def test_less_than_no_gpu_is_refused() -> None:
    with pytest.raises(InputError, match="-1 GPUs"):
        RayExecutor(gpus=-1)
