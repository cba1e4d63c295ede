"""Training and export. The only part of Atomstream that imports torch; the service never imports it."""

from ._errors import TrainingFailed
from ._export import export_member
from ._loop import Row, State, train
from ._member import MemberJob, train_member
from ._pack import ExportDiffers, pack_members
from ._recipe import Recipe, load_recipe, parse_recipe
from ._refine import Iteration, detection_rate, refine
from ._run import Run, train_ensemble
from ._settings import TrainingSettings
from ._targets import DISK_RADIUS, known, wanted
from .losses import probabilities

__all__ = [
    "DISK_RADIUS",
    "ExportDiffers",
    "Iteration",
    "MemberJob",
    "Recipe",
    "Row",
    "Run",
    "State",
    "TrainingFailed",
    "TrainingSettings",
    "detection_rate",
    "export_member",
    "known",
    "load_recipe",
    "pack_members",
    "parse_recipe",
    "probabilities",
    "refine",
    "train",
    "train_ensemble",
    "train_member",
    "wanted",
]
