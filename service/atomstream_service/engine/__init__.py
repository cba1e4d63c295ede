"""The engine process: frames in, atoms and maps out, on threads that never wait for each other's readers.

receiving (one a socket) -> intake -> inference -> finishing -> publishing -> afterwards
                              ^
                           commands
"""

from ._engine import Engine
from ._spec import CANNOT_START, EngineSpec
from ._views import View
from ._wanted import Wanted

__all__ = ["CANNOT_START", "Engine", "EngineSpec", "View", "Wanted"]
