"""The demo's picture: the frame with its atoms, the mean map, the std map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from atomstream_client import ControlClient

_LAYERS = (("atoms", "frame with atoms"), ("mean", "mean probability, 0 to 1"), ("std", "std over the members, 0 to 0.5"))
_TITLE_PX = 36
_GAP_PX = 8


def write_report(control: ControlClient, file: Path) -> None:
    """Write three layers of the frame answered last side by side as PNG."""
    panels = [_titled(_picture(control.latest_png(layer)), title) for layer, title in _LAYERS]
    gap = np.full((panels[0].shape[0], _GAP_PX, 3), 255, np.uint8)
    row = np.concatenate([part for panel in panels for part in (panel, gap)][:-1], axis=1)
    file.write_bytes(bytes(cv2.imencode(".png", row)[1]))


def _picture(png: bytes) -> NDArray[np.uint8]:
    picture = np.asarray(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR))
    side = 640 * picture.shape[0] // picture.shape[1]
    return np.asarray(cv2.resize(picture, (640, side), interpolation=cv2.INTER_AREA), np.uint8)


def _titled(picture: NDArray[np.uint8], title: str) -> NDArray[np.uint8]:
    panel = cv2.copyMakeBorder(picture, _TITLE_PX, 0, 0, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255))
    cv2.putText(panel, title, (6, 25), cv2.FONT_HERSHEY_SIMPLEX, 0.7, (0, 0, 0), 1, cv2.LINE_AA)
    return np.asarray(panel, np.uint8)
