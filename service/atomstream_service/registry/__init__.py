"""Bundles on disk by name and version, and the ways in: uploads, folders, a watch folder.

Whatever a stranger made is opened by a stager, a process of its own with limits, before it comes here.
"""

from ._entry import RegistryEntry
from ._errors import BundleRefused, NoRoom, NotRegistered, RegistryError, UploadTooLarge, VersionTaken
from ._registry import Registry
from ._upload import Upload
from ._watch import WatchFolder
from .stager import AcceptanceReport, Check, CheckName, StagerLimits

__all__ = [
    "AcceptanceReport",
    "BundleRefused",
    "Check",
    "CheckName",
    "NoRoom",
    "NotRegistered",
    "Registry",
    "RegistryEntry",
    "RegistryError",
    "StagerLimits",
    "Upload",
    "UploadTooLarge",
    "VersionTaken",
    "WatchFolder",
]
