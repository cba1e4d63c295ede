"""The bytes on Atomstream's ZeroMQ sockets: frames in (`atomstream.frame.v1`), results out (`atomstream.result.v1`).

Two public functions a direction: `encode_frame` / `decode_frame` and `encode_result` / `decode_result`. Both ways the
arrays are the messages' own memory, never copied. `load_header` and `Fields` read JSON headers
with types and limits. Needs numpy alone and runs on Python 3.7 and later.
"""

from ._arrays import DTYPES
from ._errors import WireError
from ._fields import Fields, load_header
from ._frame import FRAME_SCHEMA, Frame, decode_frame, encode_frame
from ._result import (
    ATOM_COLUMNS,
    RESULT_SCHEMA,
    Atoms,
    EnsembleState,
    Event,
    Failure,
    FrameReport,
    Maps,
    Result,
    decode_result,
    encode_result,
)

__all__ = [
    "ATOM_COLUMNS",
    "DTYPES",
    "FRAME_SCHEMA",
    "RESULT_SCHEMA",
    "Atoms",
    "EnsembleState",
    "Event",
    "Failure",
    "Fields",
    "Frame",
    "FrameReport",
    "Maps",
    "Result",
    "WireError",
    "decode_frame",
    "decode_result",
    "encode_frame",
    "encode_result",
    "load_header",
]
