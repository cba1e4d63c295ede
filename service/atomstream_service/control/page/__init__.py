"""The operator's page, served from the package itself."""

from ._routes import page_routes

__all__ = ["page_routes"]
