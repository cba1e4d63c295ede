"""Drift: which member, or the scene, or the instrument, has left what was normal, and what to do about it.

score_frame -> DriftMonitor.observe -> events, snapshot -> QuarantinePolicy.decide
"""

from ._events import Cause, DriftEvent, Kind
from ._monitor import FEWEST, DriftMonitor
from ._page_hinkley import PageHinkley
from ._policy import QuarantineDecision, QuarantinePolicy
from ._reference import Reference, learn
from ._scores import FrameScores, MemberScores, score_frame
from ._settings import DriftSettings, QuarantineSettings
from ._snapshot import AlarmStanding, CommonStanding, DriftSnapshot, MemberStanding, SignalStanding
from ._state import ScanKey
from ._statistics import FrameStatistics, frame_statistics

__all__ = [
    "FEWEST",
    "AlarmStanding",
    "Cause",
    "CommonStanding",
    "DriftEvent",
    "DriftMonitor",
    "DriftSettings",
    "DriftSnapshot",
    "FrameScores",
    "FrameStatistics",
    "Kind",
    "MemberScores",
    "MemberStanding",
    "PageHinkley",
    "QuarantineDecision",
    "QuarantinePolicy",
    "QuarantineSettings",
    "Reference",
    "ScanKey",
    "SignalStanding",
    "frame_statistics",
    "learn",
    "score_frame",
]
