"""Files as streams: their frames with all that is known about them, and folders in which instruments leave them."""

from ._folder import FolderWatch
from ._frames import FileFrame, FileFrames, as_text, open_frames

__all__ = ["FileFrame", "FileFrames", "FolderWatch", "as_text", "open_frames"]
