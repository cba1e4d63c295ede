"""What a user gave and can't be used: files, settings, frames.

    InputError
    +-- training.TrainingFailed a training that can't go on
    +-- training.atomai.CheckpointRefused  a checkpoint that can't be used, or holds more than tensors
    +-- ExtraMissing            a package of an optional extra is not installed
    +-- movies.UnreadableFile   a file that holds no frames that can be read
    +-- recording.NoImages      an HDF5 file without frames, or with several arrays that may be meant
    +-- recording.UnreadableRecording  a file that is no recording

Bundles and single frames have errors of their own: `bundle.BundleError` and `analysis.FrameRefused`.
"""

from pydantic import ValidationError


class InputError(ValueError):
    """Something that a user gave can't be used; the message names what, and why."""


class ExtraMissing(InputError):
    """A package that only this task needs is not installed; the message names the extra that brings it."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"this needs {package}, which is not installed: pip install 'atomstream[{extra}]'")


def wrong_keys(error: ValidationError, whole: str) -> list[str]:
    """What is wrong with each key of a tree of settings, a phrase each; `whole` stands where no single key is to blame."""
    problems = error.errors()
    places = [problem["loc"] for problem in problems]
    # A list whose items are wrong is also told to be too short for what is left of it.
    inner = [
        problem for problem in problems if not any(len(place) > len(problem["loc"]) > 0 and place[: len(problem["loc"])] == problem["loc"] for place in places)
    ]
    return [f"{'.'.join(map(str, problem['loc'])) or whole}: {problem['msg'].removeprefix('Value error, ')}" for problem in inner]
