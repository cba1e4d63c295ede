from __future__ import annotations

import json
from dataclasses import replace

import pytest
from drifting import MEMBERS, SCAN, SETTINGS, Change, all_worse, darker, stream, worse

from atomstream_service.drift import DriftMonitor, FrameScores, MemberScores, ScanKey


@pytest.fixture
def monitor() -> DriftMonitor:
    return DriftMonitor(SETTINGS, MEMBERS)


def test_nothing_is_said_while_all_is_well(monitor: DriftMonitor) -> None:
    assert stream(monitor, range(600)) == []
    snapshot = monitor.snapshot()
    assert snapshot.blamed == ()
    assert snapshot.advice == ()
    assert snapshot.frames == 600


def test_one_member_that_leaves_the_others_is_blamed_by_name_and_no_other_is(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    (event,) = stream(monitor, range(100, 160), lambda t, scores: worse(scores, "m03", 4))
    assert (event.kind, event.cause, event.member) == ("alarm", "member", "m03")
    assert 103 <= event.seq <= 108
    snapshot = monitor.snapshot()
    assert snapshot.blamed == ("member",)
    assert snapshot.members["m03"].alarm.since == event.seq
    assert "m03 disagrees with the other 5" in snapshot.advice[0]
    assert snapshot.advice[0].endswith("take it out")


def test_a_member_that_creeps_away_is_blamed(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    (event,) = stream(monitor, range(100, 220), lambda t, scores: worse(scores, "m01", 1 + (t - 100) / 20))
    assert event.member == "m01"
    assert event.seq < 160


def test_a_member_that_was_bad_from_the_first_frame_is_blamed_before_there_is_a_reference(monitor: DriftMonitor) -> None:
    (event,) = stream(monitor, range(200), lambda t, scores: worse(scores, "m05", 10))
    assert event.member == "m05"
    assert event.seq < 15


def test_when_all_members_lose_agreement_the_scene_is_blamed_and_no_member(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    (event,) = stream(monitor, range(100, 160), lambda t, scores: all_worse(scores, 4))
    assert event.cause == "scene"
    assert event.seq < 110
    assert any("refine on the last frames" in advice for advice in monitor.snapshot().advice)


def test_one_bad_members_part_in_the_std_is_not_taken_for_the_scene(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    events = stream(monitor, range(100, 160), lambda t, scores: replace(worse(scores, "m02", 8), spread=4 * scores.spread))
    assert {event.cause for event in events} == {"member"}


@pytest.mark.parametrize(
    ("name", "factor", "shift"), [("level", 0.7, 0), ("level", 1.4, 0), ("contrast", 0.8, 0), ("noise", 1.3, 0), ("lattice", 1, -0.6), ("jitter", 1, 0.3)]
)
def test_frames_that_change_are_the_instruments_doing(monitor: DriftMonitor, name: str, factor: float, shift: float) -> None:
    stream(monitor, range(100))

    def changed(t: int, scores: FrameScores) -> FrameScores:
        return replace(scores, statistics=replace(scores.statistics, **{name: getattr(scores.statistics, name) * factor + shift}))

    (event,) = stream(monitor, range(100, 140), changed)
    assert (event.cause, event.signal) == ("instrument", name)
    assert "the frames have changed" in monitor.snapshot().advice[0]


def test_agreement_that_is_lost_long_after_the_frames_began_to_change_is_the_instruments_doing(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    events = stream(monitor, range(100, 180), lambda t, scores: all_worse(darker(scores, 0.7), 4 if t >= 140 else 1))
    assert [(event.cause, event.signal) for event in events] == [("instrument", "level"), ("instrument", "agreement")]
    assert "bring the instrument back or refine" in monitor.snapshot().advice[1]


def test_agreement_that_is_lost_as_the_frames_change_is_the_scenes_doing(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    events = stream(monitor, range(100, 180), lambda t, scores: all_worse(darker(scores, 0.7), 4))
    assert {(event.cause, event.signal) for event in events} == {("instrument", "level"), ("scene", "agreement")}


def test_two_members_that_lose_agreement_blame_nobody(monitor: DriftMonitor) -> None:
    def two(t: int, scores: FrameScores) -> FrameScores:
        both = {member: MemberScores(0.02 if t < 100 else 0.2, 0.0, 0.0) for member in ("m00", "m01")}
        return replace(scores, members=both)

    (event,) = stream(monitor, range(150), two)
    assert (event.cause, event.member) == ("unattributed", None)
    assert "m00 and m01" in event.message


def test_with_one_member_only_the_frames_can_change(monitor: DriftMonitor) -> None:
    events = stream(monitor, range(150), lambda t, scores: replace(darker(scores, 1 if t < 100 else 0.5), members={}, spread=0.0))
    assert [event.cause for event in events] == ["instrument"]


def test_an_alarm_is_told_once_and_again_when_its_condition_ends(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    events = stream(monitor, range(100, 200), lambda t, scores: worse(scores, "m03", 6) if t < 130 else scores)
    assert [event.kind for event in events] == ["alarm", "over"]
    standing = monitor.snapshot().members["m03"].alarm
    assert standing.raised
    assert standing.over
    assert monitor.snapshot().advice == ()


def test_an_acknowledged_member_that_is_still_bad_is_not_told_again_and_one_that_turns_bad_anew_is(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    stream(monitor, range(100, 130), lambda t, scores: worse(scores, "m03", 12))
    assert monitor.acknowledge("m03")
    assert stream(monitor, range(130, 200), lambda t, scores: worse(scores, "m03", 12)) == []
    assert stream(monitor, range(200, 300)) == []
    (event,) = stream(monitor, range(300, 340), lambda t, scores: worse(scores, "m03", 12))
    assert event.member == "m03"


def test_a_member_that_comes_back_as_bad_as_it_went_is_blamed_again(monitor: DriftMonitor) -> None:
    def without(t: int, scores: FrameScores) -> FrameScores:
        return replace(scores, members={member: scores.members[member] for member in MEMBERS if member != "m03"})

    stream(monitor, range(100))
    stream(monitor, range(100, 120), lambda t, scores: worse(scores, "m03", 3))
    monitor.acknowledge("m03")
    assert stream(monitor, range(120, 160), without) == []
    (event,) = stream(monitor, range(160, 200), lambda t, scores: worse(scores, "m03", 3))
    assert event.member == "m03"


@pytest.mark.parametrize(("subject", "change"), [("scene", lambda t, s: all_worse(s, 4)), ("instrument", lambda t, s: darker(s, 0.6))])
def test_who_acknowledges_the_scene_or_the_instrument_accepts_it_as_it_is(monitor: DriftMonitor, subject: str, change: Change) -> None:
    stream(monitor, range(100))
    assert stream(monitor, range(100, 130), change)
    assert monitor.acknowledge(subject)
    assert not monitor.acknowledge(subject)
    assert stream(monitor, range(130, 300), change) == []
    assert monitor.snapshot().blamed == ()


def test_what_is_not_watched_cannot_be_acknowledged(monitor: DriftMonitor) -> None:
    with pytest.raises(KeyError, match="m99"):
        monitor.acknowledge("m99")


@pytest.mark.parametrize(
    "other",
    [
        replace(SCAN, shape=(256, 256)),
        replace(SCAN, pixel_size_nm=(0.02, 0.02)),
        replace(SCAN, fov_nm=(9.0, 9.0)),
        replace(SCAN, dwell_us=2.0),
        replace(SCAN, channel="BF"),
        replace(SCAN, source="gatan"),
    ],
)
def test_other_scan_parameters_make_another_reference_and_no_alarm(monitor: DriftMonitor, other: ScanKey) -> None:
    stream(monitor, range(100))
    assert stream(monitor, range(100, 200), lambda t, scores: all_worse(darker(scores, 0.5), 5), other) == []
    assert monitor.snapshot().scene.learned == 1


def test_alarms_outlast_a_change_of_the_scan(monitor: DriftMonitor) -> None:
    stream(monitor, range(100))
    stream(monitor, range(100, 130), lambda t, scores: worse(scores, "m03", 6))
    stream(monitor, range(130, 200), scan=replace(SCAN, dwell_us=1.0))
    assert monitor.snapshot().members["m03"].alarm.raised


@pytest.mark.parametrize("reason", ["blank", "rows_missing", "partial"])
def test_unfit_frames_are_passed_over(monitor: DriftMonitor, reason: str) -> None:
    stream(monitor, range(100))
    before = monitor.as_json()
    assert stream(monitor, range(100, 150), lambda t, scores: replace(all_worse(darker(scores, 0), 50), unfit=reason)) == []
    assert monitor.as_json() == before


@pytest.mark.parametrize("left", [1, 3])
def test_members_that_go_and_come_back_raise_no_alarm_in_the_others(monitor: DriftMonitor, left: int) -> None:
    fewer = MEMBERS[left:]

    def toggled(t: int, scores: FrameScores) -> FrameScores:
        used = fewer if (t // 100) % 2 else MEMBERS
        return replace(scores, members={member: scores.members[member] for member in used})

    assert stream(monitor, range(500), toggled) == []


def test_a_newcomer_learns_its_own_reference_and_is_blamed_by_it(monitor: DriftMonitor) -> None:
    def late(t: int, scores: FrameScores) -> FrameScores:
        if t < 100:
            return replace(scores, members={member: scores.members[member] for member in MEMBERS[:5]})
        return worse(scores, "m05", 5) if t >= 200 else scores

    (event,) = stream(monitor, range(260), late)
    assert event.member == "m05"
    assert event.seq < 215


def test_a_shadow_is_seen_to_recover_and_is_never_blamed(monitor: DriftMonitor) -> None:
    def shadowed(t: int, scores: FrameScores) -> FrameScores:
        if t < 100:
            return scores
        if t < 130:
            return worse(scores, "m03", 8)
        bad = worse(scores, "m03", 8 if t < 160 else 1).members
        return replace(scores, members={m: one for m, one in bad.items() if m != "m03"}, shadows={"m03": bad["m03"]})

    kinds = [(event.seq < 160, event.kind, event.member) for event in stream(monitor, range(220), shadowed)]
    assert kinds == [(True, "alarm", "m03"), (False, "over", "m03")]


def wild(t: int, scores: FrameScores) -> FrameScores:
    """A bit of everything."""
    if t >= 90:
        scores = darker(worse(scores, "m03", 1 + (t - 90) / 15), 1 - (t - 90) / 200)
    return all_worse(scores, 3) if t >= 140 else scores


def test_the_same_frames_bring_the_same_events() -> None:
    one, other = (stream(DriftMonitor(SETTINGS, MEMBERS), range(180), wild) for _ in range(2))
    assert one == other
    assert len({event.cause for event in one}) >= 2


@pytest.mark.parametrize("at", [0, 17, 40, 100, 145])
def test_a_monitor_restored_from_json_goes_on_as_if_nothing_had_happened(at: int) -> None:
    whole, first = DriftMonitor(SETTINGS, MEMBERS), DriftMonitor(SETTINGS, MEMBERS)
    stream(whole, range(at), wild)
    stream(first, range(at), wild)
    second = DriftMonitor.restore(SETTINGS, MEMBERS, json.loads(json.dumps(first.as_json())))
    assert second.snapshot() == whole.snapshot()
    assert stream(second, range(at, 180), wild) == stream(whole, range(at, 180), wild)
    assert second.as_json() == whole.as_json()


def test_a_restored_monitor_has_the_members_of_the_ensemble_it_is_restored_for(monitor: DriftMonitor) -> None:
    stream(monitor, range(60))
    other = DriftMonitor.restore(SETTINGS, ("m01", "x01"), monitor.as_json())
    members = other.snapshot().members
    assert list(members) == ["m01", "x01"]
    assert members["m01"].learned == 1
    assert members["x01"].learned == 0


def test_a_state_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="members"):
        DriftMonitor.restore(SETTINGS, MEMBERS, {"frames": 3})


def test_the_snapshot_goes_to_json(monitor: DriftMonitor) -> None:
    stream(monitor, range(130), wild)
    told = json.loads(json.dumps(monitor.snapshot().as_json(), allow_nan=False))
    assert set(told["members"]["m03"]["scores"]) == {"divergence", "misplaced", "count"}
    assert set(told["instrument"]["signals"]) == {"level", "contrast", "noise", "lattice", "jitter"}
    assert told["members"]["m03"]["scores"]["divergence"]["change"] > 1.5
