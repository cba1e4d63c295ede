from ..errors import InputError


class TrainingFailed(InputError):
    """A training that can't go on: its loss is no longer finite, its process died, its disk is full."""
