from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_training import tiny

from atomstream_models.errors import InputError
from atomstream_models.training import Run, train_ensemble
from atomstream_models.training.executors import LocalExecutor, RayExecutor

ray = pytest.importorskip("ray", reason="the extra ray is not installed")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_members_trained_on_a_ray_cluster_are_those_trained_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    here, there = Run(tmp_path / "here"), Run(tmp_path / "there")
    train_ensemble(tiny(), here, LocalExecutor(2))
    try:
        card = train_ensemble(tiny(), there, RayExecutor())
    finally:
        ray.shutdown()
    for member in range(2):
        one, other = (torch.load(run.member(member) / "weights.pt", weights_only=True) for run in (here, there))
        assert all(torch.equal(one[name], other[name]) for name in one)

    assert len(card.members) == 2


def test_a_cluster_elsewhere_without_authentication_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    with pytest.raises(InputError, match=r"127\.0\.0\.1:1 would be used without authentication"):
        RayExecutor("127.0.0.1:1")
