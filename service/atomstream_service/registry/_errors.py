from __future__ import annotations

from ..errors import AtomstreamError
from .stager import AcceptanceReport


class RegistryError(AtomstreamError):
    """Something that the registry will not or can't do."""


class NotRegistered(RegistryError):
    """There is no bundle of that name and version."""


class VersionTaken(RegistryError):
    """Another bundle has that name and version, and what is registered is never overwritten."""


class BundleRefused(RegistryError):
    """A bundle that failed a check; the message names the check and what was wrong.

    report : all that the stager found out
    """

    def __init__(self, report: AcceptanceReport) -> None:
        failed = report.failed
        super().__init__("the bundle was not opened to its end" if failed is None else f"check {failed.name} failed: {failed.detail}")
        self.report = report


class UploadTooLarge(RegistryError):
    """More bytes than an upload may have."""


class NoRoom(RegistryError):
    """The disk is full; nothing of what was to be added is left on it."""
