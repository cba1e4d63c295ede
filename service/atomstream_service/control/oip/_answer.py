"""An inference response as bytes: JSON, then the binary outputs."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from .._refusal import RequestRefused
from .._wish import EnsembleRef
from ._coding import encoded
from ._infer import Batch

_MOST_JSON_NUMBERS = 1 << 22
"""Numbers sent as text; more come as binary data or not at all."""
_DATATYPE = {"<f4": "FP32", "<i4": "INT32"}


def check_size(pixels: int, binary: Mapping[str, bool], classes: int) -> None:
    """Refuse (400) a request whose maps would be too many numbers to be sent as text."""
    numbers = sum(pixels * classes for name in ("mean", "std") if binary.get(name) is False)
    if numbers > _MOST_JSON_NUMBERS:
        raise RequestRefused(400, "too_large", f"{numbers} numbers of maps are more than the {_MOST_JSON_NUMBERS} sent as JSON; ask for binary_data")


def answer(request_id: str | None, live: EnsembleRef, batch: Batch, binary: Mapping[str, bool], accepted_coding: str | None) -> Response:
    """The response to an inference request.

    binary : the outputs wanted, and whether as binary data; those that are not known (std with one member) are left out
    accepted_coding : the header Accept-Encoding
    """
    outputs, buffers = [], []
    for name, as_bytes in binary.items():
        array = batch.outputs.get(name)
        if array is None:
            continue
        described = {"name": name, "datatype": _DATATYPE[array.dtype.str], "shape": list(array.shape)}
        if as_bytes:
            buffers.append(array.tobytes())
            outputs.append({**described, "parameters": {"binary_data_size": array.nbytes}})
        else:
            outputs.append({**described, "data": _plain(array)})
    message: dict[str, Any] = {"model_name": live.name, "model_version": live.version, "parameters": batch.parameters, "outputs": outputs}
    text = json.dumps(message if request_id is None else {**message, "id": request_id}, allow_nan=False).encode()
    body, coding = encoded(b"".join((text, *buffers)), accepted_coding)
    headers = {} if coding is None else {"Content-Encoding": coding}
    if not any(binary.values()):
        return Response(body, media_type="application/json", headers=headers)
    return Response(body, media_type="application/octet-stream", headers={**headers, "Inference-Header-Content-Length": str(len(text))})


def _plain(array: NDArray[Any]) -> list[Any]:
    """Numbers row after row; NaN, which JSON does not have, as null."""
    flat = array.ravel().tolist()
    return flat if np.isfinite(array).all() else [value if math.isfinite(value) else None for value in flat]
