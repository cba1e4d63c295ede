"""How a frame is computed: prepare, infer, finish. The live engine, `POST /v1/infer` and the tests all call these."""

from ._finish import Answer, finish, member_map
from ._infer import Inferred, MemberFailed, Outputs, infer
from ._prepare import MAX_GRID_PIXELS, FrameRefused, Grid, Prepared, pixel_size_in_nm, prepare

__all__ = [
    "MAX_GRID_PIXELS",
    "Answer",
    "FrameRefused",
    "Grid",
    "Inferred",
    "MemberFailed",
    "Outputs",
    "Prepared",
    "finish",
    "infer",
    "member_map",
    "pixel_size_in_nm",
    "prepare",
]
