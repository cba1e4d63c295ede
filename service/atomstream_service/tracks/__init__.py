"""Atoms linked over the frames of a stream, so that one atom keeps one number."""

from ._linker import MOST_IDS, Scene, TrackLinker, TrackSummary
from ._shift import common_shift

__all__ = ["MOST_IDS", "Scene", "TrackLinker", "TrackSummary", "common_shift"]
