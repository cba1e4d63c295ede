"""Recording: the last frames in memory, and HDF5 files written by processes of their own.

Whatever happens to a recorder, the engine goes on, and what was committed to its file stays readable. Reading is `atomstream_models.recording`'s.
"""

from atomstream_models.recording import DriftScores, RecordedFrame, Recording, open_recording

from ._errors import RecordingFailed, RecordingRefused
from ._feed import ROOM_BYTES, RecorderFeed
from ._messages import Answering, Closing, Framed, Journaled, Message, Opening, decode_message, encode_message
from ._recorder import Recorder
from ._recordings import RecordingHandle, RecordingInfo, RecordingRequest, Recordings, RecordingState
from ._ring import Ring, RingSummary
from ._series import Compression
from ._spec import CANNOT_RECORD, Limits, RecorderReport, RecorderSpec
from ._writer import About, RecordingWriter, write_selection

__all__ = [
    "CANNOT_RECORD",
    "ROOM_BYTES",
    "About",
    "Answering",
    "Closing",
    "Compression",
    "DriftScores",
    "Framed",
    "Journaled",
    "Limits",
    "Message",
    "Opening",
    "RecordedFrame",
    "Recorder",
    "RecorderFeed",
    "RecorderReport",
    "RecorderSpec",
    "Recording",
    "RecordingFailed",
    "RecordingHandle",
    "RecordingInfo",
    "RecordingRefused",
    "RecordingRequest",
    "RecordingState",
    "RecordingWriter",
    "Recordings",
    "Ring",
    "RingSummary",
    "decode_message",
    "encode_message",
    "open_recording",
    "write_selection",
]
