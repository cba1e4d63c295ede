"""How a frame is computed: prepare, infer, finish. The live engine, `POST /v1/infer` and the tests all call these."""

from ._finish import Answer, finish, member_map
from ._infer import Inferred, MemberFailed, Outputs, RunMembers, infer
from ._prepare import CARRIED_SHARE, MAX_GRID_PIXELS, FrameRefused, Grid, Prepared, prepare
from ._scan import RunningScan, StripMembers, StripRun

__all__ = [
    "CARRIED_SHARE",
    "MAX_GRID_PIXELS",
    "Answer",
    "FrameRefused",
    "Grid",
    "Inferred",
    "MemberFailed",
    "Outputs",
    "Prepared",
    "RunMembers",
    "RunningScan",
    "StripMembers",
    "StripRun",
    "finish",
    "infer",
    "member_map",
    "prepare",
]
