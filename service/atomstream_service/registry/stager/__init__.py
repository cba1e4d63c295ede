"""The stager: a throwaway process that opens a bundle before anything live touches it.

`stage` runs it and answers with its report, whatever becomes of the process. What it does inside is in `_opening` and `_trial`; only the
latter loads the runtime, and only in that process.
"""

from ._process import stage
from ._report import AcceptanceReport, Check, CheckName
from ._spec import Device, StagerLimits, StagerSpec

__all__ = [
    "AcceptanceReport",
    "Check",
    "CheckName",
    "Device",
    "StagerLimits",
    "StagerSpec",
    "stage",
]
