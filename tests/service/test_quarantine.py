from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import dots, make_plain_bundle
from drifting import MEMBERS, SCAN, SETTINGS, frame, stream, worse

from atomstream_models.runtime import load_ensemble, look
from atomstream_service.drift import DriftMonitor, DriftSettings, DriftSnapshot, QuarantinePolicy, QuarantineSettings, ScanKey, score_frame
from atomstream_service.members import MemberState

ENABLED = dict.fromkeys(MEMBERS, MemberState.ENABLED)
ON = QuarantineSettings(mode="quarantine")


def blaming(*members: str, factor: float = 8.0) -> DriftSnapshot:
    """How drift stands when some members have been bad for a while, the first one worst."""
    monitor = DriftMonitor(SETTINGS, MEMBERS)
    stream(monitor, range(60))
    for t in range(60, 100):
        scores = frame(t)
        for k, member in enumerate(members):
            scores = worse(scores, member, factor / (1 + 0.2 * k))
        monitor.observe(scores, SCAN)
    return monitor.snapshot()


def taken(policy: QuarantinePolicy, snapshot: DriftSnapshot, states: dict[str, MemberState] = ENABLED, **given: int) -> list[str]:
    return [decision.member for decision in policy.decide(snapshot, states, **given)]


def test_by_default_nobody_is_taken_out() -> None:
    assert taken(QuarantinePolicy(QuarantineSettings()), blaming("m03")) == []


def test_the_blamed_members_are_taken_out_the_worst_first_with_a_reason() -> None:
    decisions = QuarantinePolicy(ON).decide(blaming("m03", "m01"), ENABLED)
    assert [decision.member for decision in decisions] == ["m03", "m01"]
    assert "m03 disagrees with the other 5" in decisions[0].reason
    assert "since frame" in decisions[0].reason


def test_nobody_is_taken_out_without_an_alarm() -> None:
    assert taken(QuarantinePolicy(ON), blaming()) == []


def test_no_more_than_the_most_are_out_at_once() -> None:
    policy = QuarantinePolicy(ON.model_copy(update={"most_out": 1}))
    assert taken(policy, blaming("m03", "m01")) == ["m03"]
    assert taken(policy, blaming("m03", "m01"), {**ENABLED, "m03": MemberState.QUARANTINED}) == []


@pytest.mark.parametrize(("least", "out"), [(5, ["m03"]), (6, [])])
def test_the_least_number_of_members_stays(least: int, out: list[str]) -> None:
    policy = QuarantinePolicy(ON.model_copy(update={"least_used": least}))
    assert taken(policy, blaming("m03", "m01")) == out


def test_three_members_are_kept_whatever_is_configured() -> None:
    three_left = {**ENABLED, **dict.fromkeys(("m00", "m02", "m04"), MemberState.DISABLED)}
    assert taken(QuarantinePolicy(ON), blaming("m03"), three_left) == []
    four_left = {**three_left, "m00": MemberState.ENABLED}
    assert taken(QuarantinePolicy(ON), blaming("m03"), four_left) == ["m03"]


def test_nothing_is_done_where_half_or_more_would_have_to_go() -> None:
    policy = QuarantinePolicy(ON.model_copy(update={"quorum": 0.7}))
    assert taken(policy, blaming("m03")) == ["m03"]
    assert taken(policy, blaming("m03", "m01")) == []


def test_between_two_rounds_the_cooldown_passes() -> None:
    snapshot = blaming("m03")
    assert taken(QuarantinePolicy(ON), snapshot, last_round=snapshot.frames - 4) == []
    assert taken(QuarantinePolicy(ON), snapshot, last_round=snapshot.frames - 5) == ["m03"]


@pytest.mark.parametrize("state", [MemberState.SHADOW, MemberState.DISABLED, MemberState.QUARANTINED, MemberState.FAILED])
def test_only_enabled_members_are_taken_out(state: MemberState) -> None:
    assert taken(QuarantinePolicy(ON), blaming("m03"), {**ENABLED, "m03": state}) == []


def test_a_member_whose_alarm_is_over_is_left_in() -> None:
    monitor = DriftMonitor(SETTINGS, MEMBERS)
    stream(monitor, range(200), lambda t, scores: worse(scores, "m03", 6) if 60 <= t < 100 else scores)
    assert monitor.snapshot().members["m03"].alarm.raised
    assert taken(QuarantinePolicy(ON), monitor.snapshot()) == []


def test_real_members_are_scored_watched_and_taken_out(tmp_path: Path) -> None:
    """Five tiny members see atoms where a frame exceeds about 0.5; from frame 30 on the last one wants 1.6 and misses the dim half."""
    biases = (-1.0, -1.05, -0.95, -1.1, -1.0)
    bundles = [make_plain_bundle(tmp_path / name, biases=(*biases[:4], last)) for name, last in (("good", -1.0), ("bad", -3.2))]
    rng = np.random.default_rng(0)
    atoms = [(10.0 + 14 * i, 10.0 + 14 * j) for i in range(4) for j in range(4)]
    clean = dots((64, 64), atoms[::2], height=4.0) + dots((64, 64), atoms[1::2], height=1.5)
    images = [clean + rng.normal(0, 0.02, clean.shape).astype(np.float32) for _ in range(45)]
    card = bundles[0].card
    monitor = DriftMonitor(DriftSettings(window=20), card.member_ids)
    blamed = []
    for bundle, seqs in zip(bundles, (range(30), range(30, 45)), strict=True):
        ensemble = load_ensemble(bundle)
        for seq, answer in zip(seqs, look(ensemble, [images[seq] for seq in seqs], None), strict=True):
            events = monitor.observe(score_frame(seq, images[seq], answer, card), ScanKey((64, 64)))
            blamed += [(event.cause, event.member, event.seq >= 30) for event in events]
        ensemble.close()
    assert blamed == [("member", "m04", True)]
    assert taken(QuarantinePolicy(ON), monitor.snapshot(), dict.fromkeys(card.member_ids, MemberState.ENABLED)) == ["m04"]
