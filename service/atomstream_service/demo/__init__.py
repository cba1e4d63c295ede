"""The whole system at work on one machine: service, simulated microscope, an operator's toggle, a score."""

from ._demo import BUNDLES, DemoFailed, run_demo
from ._launch import Launched, LaunchFailed, free_endpoints, launched

__all__ = ["BUNDLES", "DemoFailed", "LaunchFailed", "Launched", "free_endpoints", "launched", "run_demo"]
