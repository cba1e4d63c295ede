"""The page and its files: nothing is built, nothing comes from elsewhere."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter, HTTPException
from fastapi.responses import FileResponse

_ASSETS = Path(__file__).parent / "assets"
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml", ".LICENSE": "text/plain"}
_HEADERS = {
    # Another version of the service may answer under the same address a minute later.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "default-src 'self'; img-src 'self' blob: data:; style-src 'self' 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
"""uPlot sets the sizes of its parts by inline styles."""


def page_routes() -> APIRouter:
    """`/` and the files that it asks for; they hold no data, so anybody may have them."""
    router = APIRouter(include_in_schema=False)
    files = {file.relative_to(_ASSETS).as_posix(): file for file in _ASSETS.rglob("*") if file.suffix in _TYPES}

    @router.get("/")
    def index() -> FileResponse:
        return _answer(files["index.html"])

    @router.get("/page/{name:path}")
    def asset(name: str) -> FileResponse:
        if name not in files:
            raise HTTPException(404, f"the page has no file {name!r}")
        return _answer(files[name])

    return router


def _answer(file: Path) -> FileResponse:
    return FileResponse(file, media_type=_TYPES[file.suffix], headers=_HEADERS)
