"""ZeroMQ, which nothing else in the service imports: frames in, results out, and the line between the two processes."""

from ._asking import AskingSocket
from ._commands import STOPPING, CommandClient, CommandRefused, CommandServer, EngineSilent, EngineUnavailable, Reply
from ._curve import CurveGuard, CurveUnusable, new_key_pair
from ._frames import FrameSocket
from ._recorder import PullSocket, PushSocket
from ._results import ResultSocket
from ._socket import AddressUnusable

__all__ = [
    "STOPPING",
    "AddressUnusable",
    "AskingSocket",
    "CommandClient",
    "CommandRefused",
    "CommandServer",
    "CurveGuard",
    "CurveUnusable",
    "EngineSilent",
    "EngineUnavailable",
    "FrameSocket",
    "PullSocket",
    "PushSocket",
    "Reply",
    "ResultSocket",
    "new_key_pair",
]
