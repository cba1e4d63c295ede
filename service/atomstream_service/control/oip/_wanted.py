"""What a request asks for, checked before any frame is answered."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from .._refusal import RequestRefused
from ._messages import InferenceRequest, Parameters

OUTPUTS = ("mean", "std", "atoms", "atoms_count")
MAPS = ("mean", "std")


@dataclass(frozen=True)
class WantedOutputs:
    """binary : name -> whether it shall be sent as binary data, in the order asked for; pixel_size_nm : None where unknown."""

    binary: Mapping[str, bool]
    pixel_size_nm: float | None

    @property
    def maps(self) -> bool:
        return any(name in self.binary for name in MAPS)


def wanted_of(message: InferenceRequest) -> WantedOutputs:
    """What a request asks for.

    Raises
    ------
    RequestRefused
        400 for an output or a parameter that is not known here.
    """
    _only(message.parameters, "the request", "pixel_size_nm", "binary_data_output")
    usually = _flag(message.parameters, "binary_data_output", False)
    binary = dict.fromkeys(OUTPUTS, usually) if not message.outputs else {}
    for one in message.outputs:
        if one.name not in OUTPUTS:
            raise RequestRefused(400, "unknown_output", f"there is no output {one.name!r}; there are {', '.join(OUTPUTS)}")
        _only(one.parameters, f"the output {one.name}", "binary_data")
        binary[one.name] = _flag(one.parameters, "binary_data", usually)
    return WantedOutputs(binary, _pixel_size_nm(message.parameters))


def _only(parameters: Parameters, where: str, *known: str) -> None:
    unknown = [name for name in parameters if name not in known]
    if unknown:
        raise RequestRefused(400, "unknown_parameter", f"{where} has the parameters {', '.join(unknown)}; this service knows {', '.join(known)}")


def _flag(parameters: Parameters, name: str, otherwise: bool) -> bool:
    value = parameters.get(name, otherwise)
    if not isinstance(value, bool):
        raise RequestRefused(400, "bad_parameter", f"{name} is {value!r}, it must be true or false")
    return value


def _pixel_size_nm(parameters: Parameters) -> float | None:
    value = parameters.get("pixel_size_nm")
    if value is None:
        return None
    if isinstance(value, bool | str) or not (0 < value < math.inf):
        raise RequestRefused(400, "bad_parameter", f"pixel_size_nm is {value!r}, it must be a number above 0")
    return float(value)
