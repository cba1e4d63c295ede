from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from conftest import about

from atomstream_models.bundle import check_member, open_bundle, parse_card
from atomstream_models.runtime import accept, load_ensemble
from atomstream_models.training import FirstEnsemble, HalfResolutionUNet, PatchPool, export_member, pack_first_ensemble, simulate_pool, train_member

# torch's exporter warns of its own deprecations.
pytestmark = pytest.mark.filterwarnings("ignore:.*treespec:FutureWarning")

TINY = FirstEnsemble(members=1, filters=4, patches=8, patch_px=48, steps=4, batch=4)


@pytest.fixture(scope="module")
def pool() -> PatchPool:
    return simulate_pool(TINY)


def test_the_same_seed_gives_the_same_images_and_weights(pool: PatchPool) -> None:
    again = simulate_pool(TINY)
    one, other = (train_member(TINY, pool, 0).state_dict() for _ in range(2))

    np.testing.assert_array_equal(pool.images, again.images)
    np.testing.assert_array_equal(pool.targets, again.targets)
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_members_differ(pool: PatchPool) -> None:
    one, other = train_member(TINY, pool, 0).state_dict(), train_member(TINY, pool, 1).state_dict()

    assert not torch.equal(one["head.0.weight"], other["head.0.weight"])


def test_training_lowers_the_loss(pool: PatchPool) -> None:
    losses: list[float] = []
    train_member(FirstEnsemble(members=1, filters=4, patches=8, patch_px=48, steps=40, batch=4), pool, 0, lambda step, loss: losses.append(loss))

    assert np.mean(losses[-5:]) < 0.9 * np.mean(losses[:5])


def test_an_exported_member_answers_as_the_network_does_at_every_size(pool: PatchPool, tmp_path: Path) -> None:
    network = train_member(TINY, pool, 0)
    members = [{"id": "m", "file": "m.onnx", "sha256": 64 * "0"}]
    card = json.dumps({"schema": "atomstream.bundle.v1", **about(classes=["host", "impurity"], background=2), "members": members}).encode()
    path = tmp_path / "m.onnx"
    export_member(network, path)
    check_member(path, parse_card(card))
    session = onnxruntime.InferenceSession(str(path))
    for shape in ((64, 64), (40, 88)):
        frame = np.random.default_rng(0).standard_normal((1, 1, *shape), np.float32)
        with torch.no_grad():
            wanted = torch.softmax(network(torch.from_numpy(frame)), dim=1)[0].numpy()

        np.testing.assert_allclose(session.run(None, {"frame": frame})[0][0], wanted, atol=1e-5)


def test_members_become_a_bundle_that_is_accepted(tmp_path: Path) -> None:
    config = FirstEnsemble(members=2, filters=4)
    for k in range(2):
        torch.manual_seed(k)
        export_member(HalfResolutionUNet(4).eval(), tmp_path / f"m{k:02d}.onnx")
    pack_first_ensemble(config, tmp_path, tmp_path / "bundle", "tiny", "7")
    bundle = open_bundle(tmp_path / "bundle")
    accept(load_ensemble(bundle))

    assert (bundle.card.name, bundle.card.version, bundle.card.member_ids, len(bundle.card.golden)) == ("tiny", "7", ("m00", "m01"), 2)


def test_norms_are_folded_away_and_nothing_of_the_machine_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    export_member(HalfResolutionUNet(4).eval(), path)
    kinds = Counter(node.op_type for node in onnx.load(str(path)).graph.node)

    assert kinds["BatchNormalization"] == 0
    assert b"site-packages" not in path.read_bytes()
