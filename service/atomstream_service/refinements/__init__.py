"""Refinements of an ensemble beside the live stream, each a process of its own that runs only while nothing else wants the processors."""

from ._errors import RefinementBusy, RefinementRefused, RefinementUnknown
from ._events import FollowedEvent, RefinementStage
from ._job import RefinementJob, RefinementState
from ._process import Priority
from ._refinements import Refinements
from ._request import SETTINGS, FrameRegion, FramesFile, RefinementParameters, RefinementRequest

__all__ = [
    "SETTINGS",
    "FollowedEvent",
    "FrameRegion",
    "FramesFile",
    "Priority",
    "RefinementBusy",
    "RefinementJob",
    "RefinementParameters",
    "RefinementRefused",
    "RefinementRequest",
    "RefinementStage",
    "RefinementState",
    "RefinementUnknown",
    "Refinements",
]
