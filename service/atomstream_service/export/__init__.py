"""The atoms of a recording as files for other programs."""

from ._export import SUFFIXES, Exported, Format, export

__all__ = ["SUFFIXES", "Exported", "Format", "export"]
