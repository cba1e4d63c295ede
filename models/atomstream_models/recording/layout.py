"""Where things are in a recording; `docs/recordings.md` says what they are."""

from __future__ import annotations

SCHEMA = "atomstream.recording.v1"

ENTRY = "entry"
COMMITTED = "entry/committed"
"""Rows that are whole: frames, journal entries, ensembles. What lies beyond was being written when the recorder was ended."""
FRAMES = "entry/frames"
ATOMS = "entry/atoms/table"
FRAME_HEADERS = "entry/frame_headers"
RESULT_HEADERS = "entry/result_headers"
JOURNAL = "entry/journal"
ENSEMBLES = "entry/ensembles"
WATCHED = "entry/watched"
IMAGES = "entry/images_{:03d}"
MAPS = "entry/maps_{:03d}"
DRIFT = "entry/drift_{:03d}"
