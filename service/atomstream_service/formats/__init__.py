"""Frames of other makers' streams, as frames of ours.

One function for those who receive: `reader_for` answers what turns a socket's messages into frames. Each format has a file of its own, which says
what a message tells; numbers and sessions, sizes, types and limits are checked in one place for all. A message is untrusted: nothing in it is run,
nothing is unpickled, and nothing is allocated before its size is known to be allowed. Knows no sockets.
"""

from ._needs import need_packages
from ._reader import FrameReader, reader_for

__all__ = ["FrameReader", "need_packages", "reader_for"]
