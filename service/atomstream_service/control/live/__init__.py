"""Frames and the state of things, pushed to pages over WebSockets."""

from ._routes import live_routes

__all__ = ["live_routes"]
