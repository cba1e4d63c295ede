"""Frames: the latest of the stream, and single ones."""

from __future__ import annotations

import base64
import math
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from numpy.typing import NDArray

from atomstream_wire import ATOM_COLUMNS

from ..transport import Reply
from ._images import draw, layers_for
from ._refusal import RequestRefused
from ._service import Service
from ._uploads import read_frame

_ANSWER_TIMEOUT_S = 60.0

LayerName = Annotated[
    str, Query(pattern=r"^(frame|mean|std|atoms|member:[A-Za-z0-9][A-Za-z0-9._-]{0,63})$", description="frame, mean, std, atoms or member:ID")
]


def frame_routes(service: Service) -> APIRouter:
    """Routes that give frames and their atoms."""
    router = APIRouter(tags=["frames"])

    @router.get("/v1/frames/latest", summary="The frame answered last, its atoms and how they came about")
    @router.get("/v1/frames/latest.json", include_in_schema=False)
    def latest() -> dict[str, Any]:
        reply = service.call("latest", {"layers": ["atoms"]})
        return _json_answer(reply)

    @router.get("/v1/frames/latest.png", summary="One layer of the frame answered last", response_class=Response)
    def latest_png(layer: LayerName = "frame") -> Response:
        needed = layers_for(layer)
        reply = service.call("latest", {"layers": needed})
        report = reply.body["report"]
        headers = {"X-Atomstream-Seq": str(report["seq"]), "X-Atomstream-Generation": str(report["ensemble"]["generation"])}
        return Response(draw(layer, _arrays(reply), needed), media_type="image/png", headers=headers)

    @router.post(
        "/v1/infer",
        summary="Atoms of one frame, now",
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
    )
    async def infer(
        request: Request,
        maps: Annotated[bool, Query(description="send the mean and std maps, too")] = False,
        pixel_size_nm: Annotated[float | None, Query(gt=0, allow_inf_nan=False, description="pixel size in nm, where the file does not say")] = None,
    ) -> dict[str, Any]:
        """The body is one frame as .npy, .npz, TIFF or PNG. Never delays the stream by more than one frame."""
        body = await request.body()
        if not body:
            raise RequestRefused(422, "no_frame_sent", "the body is empty; send one frame as .npy, .npz, TIFF or PNG")
        return await run_in_threadpool(_infer, body, maps, pixel_size_nm)

    def _infer(body: bytes, maps: bool, pixel_size_nm: float | None) -> dict[str, Any]:
        frame = read_frame(body, service.config.max_pixels)
        size = pixel_size_nm if pixel_size_nm is not None else frame.pixel_size_nm
        image = np.ascontiguousarray(frame.image)
        arguments = {
            "dtype": image.dtype.str,
            "shape": list(image.shape),
            "pixel_size_nm": None if size is None else [size, size],
            "maps": maps,
            "timeout_s": _ANSWER_TIMEOUT_S,
        }
        return _json_answer(service.call("infer", arguments, (image.tobytes(),), _ANSWER_TIMEOUT_S + 5))

    return router


def _arrays(reply: Reply) -> dict[str, NDArray[Any]]:
    described = zip(reply.body["arrays"], reply.buffers, strict=True)
    return {one["name"]: np.frombuffer(data, np.dtype(one["dtype"])).reshape(one["shape"]) for one, data in described}


def _json_answer(reply: Reply) -> dict[str, Any]:
    """The report, the atoms as rows (NaN as null) and, where they were asked for, maps as base64 of their bytes."""
    arrays = _arrays(reply)
    atoms = arrays.pop("atoms")
    rows = [[value if math.isfinite(value) else None for value in row] for row in atoms.tolist()]
    answer = {**reply.body["report"], "columns": list(ATOM_COLUMNS), "atoms": rows}
    if arrays:
        answer["maps"] = {
            name: {"dtype": array.dtype.str, "shape": list(array.shape), "base64": base64.b64encode(array.tobytes()).decode()} for name, array in arrays.items()
        }
    return answer
