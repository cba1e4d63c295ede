"""Judging ensembles: detection, localisation, what the std is worth, and how far the members agree."""

from ._agreement import Agreement, agreement, mean_agreement
from ._calibration import Calibration, CalibrationCounts
from ._convergence import Convergence, mean_convergence, std_convergence
from ._detection import Comparison, Detection, class_detections, compare, detection, pooled
from ._evaluate import Evaluation, FrameFigures, evaluate
from ._foreground import Foreground, foreground, member_answers
from ._ranks import auroc
from ._read_truth import read_truth
from ._reliability import Reliability, ReliabilityCounts
from ._summary import summary
from ._truth import MATCH, Truth, inside, matching_radius_px, truth_of

__all__ = [
    "MATCH",
    "Agreement",
    "Calibration",
    "CalibrationCounts",
    "Comparison",
    "Convergence",
    "Detection",
    "Evaluation",
    "Foreground",
    "FrameFigures",
    "Reliability",
    "ReliabilityCounts",
    "Truth",
    "agreement",
    "auroc",
    "class_detections",
    "compare",
    "detection",
    "evaluate",
    "foreground",
    "inside",
    "matching_radius_px",
    "mean_agreement",
    "mean_convergence",
    "member_answers",
    "pooled",
    "read_truth",
    "std_convergence",
    "summary",
    "truth_of",
]
