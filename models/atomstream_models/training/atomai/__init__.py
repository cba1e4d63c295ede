"""What AtomAI trained, in Atomstream: its checkpoints, read without running anything of them, and their way into a bundle."""

from ._checkpoint import CheckpointMember, model_files, read_checkpoint, read_checkpoints
from ._container import CheckpointLimits
from ._errors import CheckpointRefused
from ._import import import_checkpoints
from ._onnx import Activation, import_onnx

__all__ = [
    "Activation",
    "CheckpointLimits",
    "CheckpointMember",
    "CheckpointRefused",
    "import_checkpoints",
    "import_onnx",
    "model_files",
    "read_checkpoint",
    "read_checkpoints",
]
