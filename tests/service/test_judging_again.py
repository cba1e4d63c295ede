from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from drifting import MEMBERS, SCAN, SETTINGS, all_worse, frame, worse

from atomstream_service.drift import (
    DriftSettings,
    Known,
    QuarantineSettings,
    StreamWatch,
    WatchChange,
    Watched,
    decode_watched,
    encode_watched,
    judge_again,
)
from atomstream_service.members import MemberState

ON = QuarantineSettings(mode="quarantine")
Recorded = list[tuple[int, str, Watched]]


class Night:
    """A stream over which members go bad one after another, are taken out, and come back; recorded as the engine records it."""

    def __init__(self) -> None:
        self.watch = StreamWatch(SETTINGS, ON, MEMBERS)
        self.states = dict.fromkeys(MEMBERS, MemberState.ENABLED)
        self.changes: list[WatchChange] = []
        self.count = 0
        self.run_ = "one"
        self.frames: Recorded = []

    def run(self, seqs: range, bad: dict[str, float] | None = None, everybody: float = 1.0) -> None:
        for seq in seqs:
            used = [member for member, state in self.states.items() if state is MemberState.ENABLED]
            scores = all_worse(frame(seq, used), everybody)
            for member, factor in (bad or {}).items():
                if member in used:
                    scores = worse(scores, member, factor)
            states = dict(self.states)
            verdict = self.watch.see(scores, SCAN, states)
            watched = Watched(self.run_, self.watch.seen, scores, SCAN, states, tuple(self.changes), verdict.events, verdict.decisions)
            self.changes.clear()
            if watched.number % 50 == 1:
                watched = replace(watched, known=self.known())
            self.frames.append((len(self.frames), "scope", decode_watched(encode_watched(watched))))
            for decision in verdict.decisions:
                self.states[decision.member] = MemberState.QUARANTINED

    def known(self) -> Known:
        return Known(self.watch.as_json(), self.watch.settings, self.watch.quarantine, self.count)

    def acknowledge(self, subject: str) -> None:
        self.watch.acknowledge(subject)
        self.count += 1
        self.changes.append(WatchChange(self.count, acknowledged=subject))
        if subject in self.states:
            self.states[subject] = MemberState.ENABLED

    def settle(self, settings: DriftSettings, quarantine: QuarantineSettings) -> None:
        self.watch.change(settings, quarantine)
        self.count += 1
        self.changes.append(WatchChange(self.count, settings=settings, quarantine=quarantine))


@pytest.fixture(scope="module")
def night() -> Recorded:
    one = Night()
    one.run(range(60))
    one.run(range(60, 90), {"m03": 8.0})
    one.run(range(90, 130), {"m03": 8.0, "m01": 6.0})
    one.acknowledge("m03")
    one.settle(SETTINGS, ON.model_copy(update={"mode": "advice"}))
    one.run(range(130, 170), {"m04": 9.0})
    one.settle(SETTINGS.model_copy(update={"sustain": 3}), ON)
    one.run(range(170, 240), {"m04": 9.0}, everybody=3.0)
    one.acknowledge("scene")
    one.run(range(240, 260))
    return one.frames


def _decided(frames: Recorded) -> list[tuple[int, str]]:
    return [(number, decision.member) for number, _, watched in frames for decision in watched.decisions]


def test_judged_again_a_recording_gives_the_same_alarms_and_decisions_frame_by_frame(night: Recorded) -> None:
    judged = list(judge_again(night))

    assert {member for _, member in _decided(night)} == {"m01", "m03", "m04"}
    assert {event.cause for _, _, watched in night for event in watched.events} >= {"member", "scene"}
    assert [one.events is None for one in judged] == [True, *[False] * (len(night) - 1)]
    assert all(one.same for one in judged[1:])


@pytest.mark.parametrize("missing", [range(40, 45), range(83, 84), range(128, 133)])
def test_after_missing_frames_judging_goes_on_where_the_record_says_all_that_was_known(night: Recorded, missing: range) -> None:
    judged = list(judge_again(one for one in night if one[0] not in missing))
    again = next(number for number, _, watched in night if number >= missing.stop and watched.known is not None)

    assert [one.frame for one in judged if one.events is None] == [0, *range(missing.stop, again + 1)]
    assert all(one.same for one in judged if one.events is not None)


def test_a_record_that_says_all_that_was_known_already_holds_what_the_watch_was_told_before_it() -> None:
    one = Night()
    one.run(range(60))
    one.run(range(60, 90), {"m03": 8.0})
    number, source, watched = one.frames[-1]
    one.acknowledge("m03")
    one.frames[-1] = (number, source, replace(watched, known=one.known()))
    one.run(range(90, 120), {"m03": 8.0})
    after = one.frames[number:]

    assert after[1][2].changes
    assert all(judged.same for judged in judge_again(after) if judged.events is not None)
    assert sum(judged.events is not None for judged in judge_again(after)) == 30


def test_a_watch_that_goes_on_in_another_engine_is_another_one() -> None:
    one = Night()
    one.run(range(60))
    one.acknowledge("m05")
    one.run(range(60, 90), {"m03": 8.0})
    saved = one.watch.as_json()
    one.watch = StreamWatch.restore(SETTINGS, ON, MEMBERS, saved)
    one.run_, one.count = "two", 0
    one.acknowledge("m03")
    one.run(range(90, 91), {"m03": 8.0})
    number, source, watched = one.frames[-1]
    one.frames[-1] = (number, source, replace(watched, known=one.known()))
    one.run(range(91, 140), {"m03": 8.0, "m01": 8.0})
    judged = list(judge_again(one.frames))

    assert [one.frame for one in judged if one.events is None] == [0, 90]
    assert all(one.same for one in judged if one.events is not None)
    assert any(one.decisions for one in judged[91:])


def test_sources_are_judged_each_for_itself(night: Recorded) -> None:
    def both() -> Iterator[tuple[int, str, Watched]]:
        for number, source, watched in night:
            yield number, source, watched
            yield number, "another", watched

    judged = list(judge_again(both()))

    assert all(one.same for one in judged[2:])
    assert {one.source for one in judged} == {"scope", "another"}


def test_other_settings_show_what_they_would_have_done(night: Recorded) -> None:
    deaf = list(judge_again(night, lambda settings, quarantine: (settings.model_copy(update={"member_factor": 90.0, "member_ratio": 90.0}), quarantine)))
    told = list(judge_again(night, lambda settings, quarantine: (settings, QuarantineSettings())))

    assert not any(event.cause == "member" for one in deaf for event in one.events or ())
    assert not any(one.decisions for one in told)
    assert [one.events for one in told[1:]] == [watched.events for _, _, watched in night[1:]]


def test_a_decision_that_nobody_carries_out_is_told_again_after_a_while() -> None:
    watch = StreamWatch(SETTINGS, ON, MEMBERS)
    enabled = dict.fromkeys(MEMBERS, MemberState.ENABLED)
    decided = []
    for seq in range(260):
        scores = frame(seq) if seq < 60 else worse(frame(seq), "m03", 8.0)
        decided += [(seq, one.member) for one in watch.see(scores, SCAN, enabled).decisions]

    first = decided[0][0]
    assert decided == [(first, "m03"), (first + 100, "m03")]


def test_a_record_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="can't be read"):
        decode_watched(b'{"number": 3}')
