"""Frames in files, whatever wrote them: `open_movie` reads them as they are asked for, `read_movie` all at once."""

from ._movie import Movie, UnreadableFile
from ._numbers import frame_numbers
from ._open import SUFFIXES, open_movie, read_movie

__all__ = ["SUFFIXES", "Movie", "UnreadableFile", "frame_numbers", "open_movie", "read_movie"]
