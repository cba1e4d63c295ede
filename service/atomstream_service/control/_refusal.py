from __future__ import annotations

from ..errors import AtomstreamError


class RequestRefused(AtomstreamError):
    """A request that the control plane will not carry out.

    status : HTTP status to answer with
    code : the reason in a word, stable for programs
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
