"""ZeroMQ, which nothing else in the service imports: frames in, results out, and the line between the two processes."""

from ._commands import CommandClient, CommandRefused, CommandServer, EngineUnavailable, Reply
from ._frames import FrameSocket
from ._results import ResultSocket
from ._socket import AddressInUse

__all__ = [
    "AddressInUse",
    "CommandClient",
    "CommandRefused",
    "CommandServer",
    "EngineUnavailable",
    "FrameSocket",
    "Reply",
    "ResultSocket",
]
