"""What microscope software and programs use: send frames, read results, control the service.

    FramePublisher    sends frames, never blocks a scan
    ResultSubscriber  reads atoms, maps, errors and events
    ControlClient     asks and changes over REST
    CurveKeys         lets the first two in where the service asks for keys

`atomstream_client.steering` is for programs that put the beam on atoms.

Needs numpy and pyzmq alone and runs on Python 3.7 and later. Not thread-safe where it does not say so.
"""

from atomstream_wire import ATOM_COLUMNS, Atoms, EnsembleState, Event, Failure, Frame, FrameReport, Maps, Result

from ._control import ControlClient, InferredFrame
from ._curve import CurveKeys
from ._ensembles import Activated
from ._errors import BadEndpoint, BadFrame, BadKeys, BadMessage, ClientError, Closed, KeysRefused, RequestFailed, ServiceUnreachable
from ._publisher import FramePublisher
from ._subscriber import ResultSubscriber

__all__ = [
    "ATOM_COLUMNS",
    "Activated",
    "Atoms",
    "BadEndpoint",
    "BadFrame",
    "BadKeys",
    "BadMessage",
    "ClientError",
    "Closed",
    "ControlClient",
    "CurveKeys",
    "EnsembleState",
    "Event",
    "Failure",
    "Frame",
    "FramePublisher",
    "FrameReport",
    "InferredFrame",
    "Maps",
    "KeysRefused",
    "RequestFailed",
    "Result",
    "ResultSubscriber",
    "ServiceUnreachable",
]
