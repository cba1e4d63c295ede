"""The whole system at work on one machine: service, simulated microscope, an operator's toggle, a score."""

from ._demo import BUNDLES, run_demo
from ._launch import Launched, LaunchFailed, free_endpoints, launched
from ._poison import Rule, poisoned
from ._poisoned_demo import run_poisoned_demo
from ._search import Change, Search, in_words
from ._stream import DemoFailed

__all__ = [
    "BUNDLES",
    "Change",
    "DemoFailed",
    "LaunchFailed",
    "Launched",
    "Rule",
    "Search",
    "free_endpoints",
    "in_words",
    "launched",
    "poisoned",
    "run_demo",
    "run_poisoned_demo",
]
