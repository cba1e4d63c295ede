"""The engine process: frames in, atoms and maps out, on threads that never wait for each other's readers.

receiving (one a socket) -> intake -> inference -> finishing -> publishing -> afterwards
                              ^
                           commands
"""

from ._engine import Engine

__all__ = ["Engine"]
