"""Recordings (`atomstream.recording.v1`) and other HDF5 files, read.

A recording is one HDF5 file that opens in any viewer: frames as NXdata, one group for each kind of frame, and everything else that was known
about them beside. `docs/recordings.md` describes it; `atomstream_service.record` writes it.
"""

from ._atomai import atomai_coordinates
from ._frame import DriftScores, RecordedFrame
from ._images import HDF5_SUFFIXES, ImageStack, NoImages, open_images
from ._open import is_hdf5, open_hdf5
from ._recording import Ensemble, Recording, Series, UnreadableRecording, is_recording, open_recording

__all__ = [
    "HDF5_SUFFIXES",
    "DriftScores",
    "Ensemble",
    "ImageStack",
    "NoImages",
    "RecordedFrame",
    "Recording",
    "Series",
    "UnreadableRecording",
    "atomai_coordinates",
    "is_hdf5",
    "is_recording",
    "open_hdf5",
    "open_images",
    "open_recording",
]
