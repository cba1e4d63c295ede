"""Where members are trained: processes of this machine, or a Ray cluster, behind one small interface."""

from ._interface import Executor
from ._local import LocalExecutor
from ._ray import RayExecutor

__all__ = ["Executor", "LocalExecutor", "RayExecutor"]
