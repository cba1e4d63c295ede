"""The control plane process: REST for people and programs, the journal, and the supervision of the engine."""

from ._app import create_app
from ._serve import serve

__all__ = ["create_app", "serve"]
