"""Drift: which member, or the scene, or the instrument, has left what was normal."""

from ._scores import FrameScores, MemberScores, score_frame
from ._statistics import FrameStatistics, frame_statistics
