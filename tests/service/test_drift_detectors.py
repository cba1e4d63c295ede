from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray
from river.drift import PageHinkley as RiverPageHinkley

from atomstream_service.drift import DriftSettings, PageHinkley, learn
from atomstream_service.drift._alarm import Alarm
from atomstream_service.drift._signal import Signal

SETTINGS = DriftSettings()


def autocorrelated(frames: int, memory: float, seed: int) -> NDArray[np.float64]:
    """An AR(1) process of spread 1."""
    rng = np.random.default_rng(seed)
    out = np.empty(frames)
    out[0] = rng.normal()
    for t in range(1, frames):
        out[t] = memory * out[t - 1] + np.sqrt(1 - memory**2) * rng.normal()
    return out


def alarms(values: NDArray[np.float64], settings: DriftSettings = SETTINGS, least: float = 0.5) -> list[int]:
    """Frames in which a signal that learned from the first values is beyond its bounds."""
    signal = Signal()
    out = []
    for t, value in enumerate(values.tolist()):
        if signal.reference is None:
            seen = signal.learn(value, settings.window)
            if seen is not None:
                signal.know(learn(seen, settings.smoothing, 1e-3))
        else:
            signal.watch(value - signal.reference.centre, settings, least)
            if signal.beyond(settings, least):
                out.append(t)
    return out


@pytest.mark.parametrize("seed", range(5))
def test_page_hinkley_climbs_and_fires_as_rivers_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.normal(0, 1, 200), rng.normal(1.5, 1, 100)])
    theirs = RiverPageHinkley(min_instances=30, delta=0.25, threshold=25, mode="up")
    ours = PageHinkley()
    for value in values.tolist():
        theirs.update(value)
        ours = ours.after(value, 0.25)
        assert (ours.rise() > 25) == theirs.drift_detected
        if theirs.drift_detected:
            return
    pytest.fail("neither fired")


@pytest.mark.parametrize("memory", [0.0, 0.5, 0.9])
def test_the_reference_finds_how_one_frame_foretells_the_next(memory: float) -> None:
    values = 3 + 2 * autocorrelated(4000, memory, 1)
    reference = learn(values.tolist(), 0.2, 1e-3)
    assert reference.centre == pytest.approx(3, abs=0.4)
    assert reference.spread == pytest.approx(2, rel=0.15)
    assert reference.memory == pytest.approx(memory, abs=0.05)
    z = [reference.z(value) for value in values]
    white = np.array([reference.innovation(now, before) for before, now in pairwise(z)])
    assert white.std() == pytest.approx(1, rel=0.1)
    assert abs(np.corrcoef(white[1:], white[:-1])[0, 1]) < 0.05


def test_the_ceiling_is_passed_by_few_frames_in_a_thousand() -> None:
    for memory in (0.0, 0.6):
        reference = learn(autocorrelated(5000, memory, 2)[:300].tolist(), 0.2, 1e-3)
        level, passed = 0.0, 0
        values = autocorrelated(40000, memory, 3)
        for value in values.tolist():
            level += 0.2 * (reference.z(value) - level)
            passed += level > reference.ceiling(0.2)
        assert passed / len(values) < 0.01


@pytest.mark.parametrize("memory", [0.0, 0.3, 0.6])
def test_a_stationary_signal_hardly_ever_alarms(memory: float) -> None:
    raised = sum(bool(alarms(autocorrelated(1000, memory, seed), least=1.0)) for seed in range(10))
    assert raised <= 2


def test_a_step_is_seen_by_the_level_and_stays_seen() -> None:
    values = autocorrelated(300, 0.3, 5)
    values[200:] += 4
    seen = alarms(values)
    assert 204 <= seen[0] <= 212
    assert seen[-1] == 299


def test_a_slow_rise_is_seen() -> None:
    values = autocorrelated(400, 0.3, 6)
    values[200:] += np.linspace(0, 5, 200)
    assert 200 < alarms(values)[0] < 320


@pytest.mark.parametrize("frames", [1, 2])
def test_a_frame_or_two_of_any_size_raise_nothing(frames: int) -> None:
    values = 0.1 * autocorrelated(300, 0.0, 7)
    values[200 : 200 + frames] += 1000
    assert not alarms(values)


def test_a_change_too_small_to_matter_raises_nothing() -> None:
    values = 0.01 * autocorrelated(400, 0.0, 8)
    values[200:] += 0.3
    assert not alarms(values, least=0.5)
    assert alarms(values, least=0.2)


def test_an_alarm_stays_until_it_is_acknowledged() -> None:
    alarm = Alarm()
    assert alarm.see(1, "x", back=False) is True
    assert alarm.see(2, None, back=True) is False
    assert (alarm.since, alarm.signal, alarm.over) == (1, "x", True)
    assert alarm.acknowledge()
    assert alarm.since is None
    assert not alarm.acknowledge()


def test_what_was_acknowledged_is_told_again_only_after_it_has_been_over() -> None:
    alarm = Alarm()
    alarm.see(1, "x", back=False)
    alarm.acknowledge()
    assert alarm.see(2, "x", back=False) is None
    assert alarm.see(3, None, back=False) is None
    assert alarm.see(4, "x", back=False) is None
    assert alarm.see(5, None, back=True) is None
    assert alarm.see(6, "x", back=False) is True
