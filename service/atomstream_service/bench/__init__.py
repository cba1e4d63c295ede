"""How fast frames are answered on this machine, without the service around it: stages, ways to run the members, and the machine's own limits."""

from ._limits import Limits, measure_limits
from ._measure import Case, Measured, Spread, measure
from ._report import Fit, cost_per_member, report
from ._work import flops_of

__all__ = ["Case", "Fit", "Limits", "Measured", "Spread", "cost_per_member", "flops_of", "measure", "measure_limits", "report"]
