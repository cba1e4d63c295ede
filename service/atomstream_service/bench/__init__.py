"""How fast frames are answered on this machine: stages, ways to run the members, networks, memory, the machine's own limits, and the service around it all."""

from ._cases import BASE_SIDE, Case, grid, star
from ._frames import Frames, simulated
from ._gpus import gpu_used_bytes
from ._limits import Limits, measure_limits
from ._line import SOURCE, Line, Stream, Unanswered, connected
from ._machine import Machine, this_machine
from ._measure import Measured, measure
from ._memory import Memory, measure_memory
from ._networks import Network, in_turns, own, untrained
from ._overlap import frames_per_s
from ._plots import write_plots
from ._report import Fit, as_json, cost_per_member, table
from ._roof import Roof, roof_of
from ._room import Skipped, expected_bytes, room_bytes, sittings, too_large
from ._service import ServiceTimes, measure_service
from ._spread import Spread, spread
from ._suite import Findings, Suite
from ._work import Work, work_of

__all__ = [
    "BASE_SIDE",
    "SOURCE",
    "Case",
    "Findings",
    "Fit",
    "Frames",
    "Limits",
    "Line",
    "Machine",
    "Measured",
    "Memory",
    "Network",
    "Roof",
    "ServiceTimes",
    "Skipped",
    "Spread",
    "Stream",
    "Suite",
    "Unanswered",
    "Work",
    "as_json",
    "connected",
    "cost_per_member",
    "expected_bytes",
    "frames_per_s",
    "gpu_used_bytes",
    "grid",
    "in_turns",
    "measure",
    "measure_limits",
    "measure_memory",
    "measure_service",
    "own",
    "roof_of",
    "room_bytes",
    "simulated",
    "sittings",
    "spread",
    "star",
    "table",
    "this_machine",
    "too_large",
    "untrained",
    "work_of",
    "write_plots",
]
