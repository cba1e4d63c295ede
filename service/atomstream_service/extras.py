"""What only some installations have."""

from importlib.util import find_spec

from atomstream_models.errors import ExtraMissing


def need_training() -> None:
    """See that training is installed. The service never imports it itself.

    Raises
    ------
    ExtraMissing
        naming the extra that brings it.
    """
    for package in ("torch", "onnxscript"):
        if find_spec(package) is None:
            raise ExtraMissing(package, "train")
