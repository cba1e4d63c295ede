"""A file's frames answered without a service, by the functions that answer live ones, into a recording that an unfinished run goes on with."""

from ._job import Job
from ._lock import alone_in
from ._predict import Predicted, predict
from ._result import Result, open_result, ran_on

__all__ = ["Job", "Predicted", "Result", "alone_in", "open_result", "predict", "ran_on"]
