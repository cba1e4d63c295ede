"""Atomstream's recordings and results as layers of napari."""

from ._reader import napari_get_reader, read_layers

__all__ = ["napari_get_reader", "read_layers"]
