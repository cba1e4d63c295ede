"""Training images: where they come from and how they reach a network."""

from ._crops import crops, disk_radius_px
from ._feed import Feed, Lesson
from ._files import load_images
from ._scene import Scene
from ._set import TrainingSet, masked_set, training_set
from ._settings import DataSettings, ExperimentalData, PreparedData, SimulatedData
from ._simulate import check_classes, simulate

__all__ = [
    "crops",
    "disk_radius_px",
    "DataSettings",
    "ExperimentalData",
    "Feed",
    "Lesson",
    "PreparedData",
    "Scene",
    "SimulatedData",
    "TrainingSet",
    "check_classes",
    "load_images",
    "masked_set",
    "simulate",
    "training_set",
]
