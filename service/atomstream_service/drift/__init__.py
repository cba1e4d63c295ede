"""Drift: which member, or the scene, or the instrument, has left what was normal, and what to do about it.

score_frame -> StreamWatch.see, which is DriftMonitor.observe -> QuarantinePolicy.decide
judge_again: the same, from a recording
"""

from ..drift_settings import DriftSettings, QuarantineSettings
from ._events import Cause, DriftEvent, Kind
from ._monitor import FEWEST, DriftMonitor
from ._page_hinkley import PageHinkley
from ._policy import QuarantineDecision, QuarantinePolicy
from ._recorded import recorded_frames
from ._reference import Reference, learn
from ._replay import Rejudged, judge_again
from ._scores import FrameScores, MemberScores, make_ready, score_frame
from ._snapshot import AlarmStanding, CommonStanding, DriftSnapshot, MemberStanding, SignalStanding
from ._state import ScanKey
from ._statistics import FrameStatistics, frame_statistics
from ._stream_watch import StreamWatch, Verdict
from ._watched import Known, WatchChange, Watched, decode_watched, encode_watched

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
    "Known",
    "MemberScores",
    "MemberStanding",
    "PageHinkley",
    "QuarantineDecision",
    "QuarantinePolicy",
    "QuarantineSettings",
    "Reference",
    "Rejudged",
    "ScanKey",
    "SignalStanding",
    "StreamWatch",
    "Verdict",
    "WatchChange",
    "Watched",
    "decode_watched",
    "encode_watched",
    "frame_statistics",
    "judge_again",
    "learn",
    "make_ready",
    "recorded_frames",
    "score_frame",
]
