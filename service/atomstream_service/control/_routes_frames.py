"""Frames: the latest of the stream, and single ones."""

from __future__ import annotations

import base64
import math
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from atomstream_models.priority import stand_back
from atomstream_wire import ATOM_COLUMNS

from ._answers import FrameAnswer
from ._images import draw, layers_for
from ._refusal import RequestRefused
from ._service import Service
from ._single import Answered, answered, infer_one
from ._uploads import read_frame

_NO_FRAME: dict[int | str, dict[str, Any]] = {
    404: {"description": "no frame has been answered yet, or it has no such layer"},
    503: {"description": "the engine is away; try again"},
}
_NOT_A_FRAME: dict[int | str, dict[str, Any]] = {
    415: {"description": "the body is another kind of file"},
    504: {"description": "the frame was not answered in time"},
}

_DRAWING_NICENESS = 10

LayerName = Annotated[
    str, Query(pattern=r"^(frame|mean|std|atoms|member:[A-Za-z0-9][A-Za-z0-9._-]{0,63})$", description="frame, mean, std, atoms or member:ID")
]


def frame_routes(service: Service) -> APIRouter:
    """Routes that give frames and their atoms."""
    router = APIRouter(tags=["frames"])
    # One picture at a time, and frames first: a page that asks for many gets fewer where the processors are busy.
    drawing = ThreadPoolExecutor(1, thread_name_prefix="drawing", initializer=stand_back, initargs=(_DRAWING_NICENESS,))

    @router.get(
        "/v1/frames/latest",
        summary="The frame answered last, its atoms and how they came about",
        response_model=FrameAnswer,
        response_model_exclude_unset=True,
        responses=_NO_FRAME,
    )
    @router.get("/v1/frames/latest.json", include_in_schema=False)
    def latest() -> dict[str, Any]:
        return _json_answer(answered(service.call("latest", {"layers": ["atoms"]})))

    @router.get(
        "/v1/frames/latest.png",
        summary="One layer of the frame answered last",
        response_class=Response,
        responses=_NO_FRAME | {200: {"content": {"image/png": {}}}},
    )
    def latest_png(layer: LayerName = "frame") -> Response:
        needed = layers_for(layer)
        answer = answered(service.call("latest", {"layers": needed}))
        report = answer.report
        headers = {"X-Atomstream-Seq": str(report["seq"]), "X-Atomstream-Generation": str(report["ensemble"]["generation"])}
        return Response(drawing.submit(draw, layer, answer.arrays, needed).result(), media_type="image/png", headers=headers)

    @router.post(
        "/v1/infer",
        summary="Atoms of one frame, now",
        response_model=FrameAnswer,
        response_model_exclude_unset=True,
        responses=_NOT_A_FRAME,
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
        return _json_answer(infer_one(service, frame.image, size, maps=maps))

    return router


def _json_answer(answer: Answered) -> dict[str, Any]:
    """The report, the atoms as rows (NaN as null) and, where they were asked for, maps as base64 of their bytes."""
    arrays = dict(answer.arrays)
    rows = [[value if math.isfinite(value) else None for value in row] for row in arrays.pop("atoms").tolist()]
    shown = {**answer.report, "columns": list(ATOM_COLUMNS), "atoms": rows}
    if arrays:
        shown["maps"] = {
            name: {"dtype": array.dtype.str, "shape": list(array.shape), "base64": base64.b64encode(array.tobytes()).decode()} for name, array in arrays.items()
        }
    return shown
