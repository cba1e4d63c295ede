"""The Open Inference Protocol v2, so that clients of other inference servers work unchanged: the live ensemble is the model that answers."""

from ._messages import Refused
from ._routes import protocol_routes

__all__ = ["Refused", "protocol_routes"]
