from __future__ import annotations

from collections.abc import Iterator

from atomstream_models.recording import Recording, UnreadableRecording

from ._watched import Watched, decode_watched


def recorded_frames(recording: Recording) -> Iterator[tuple[int, str, Watched]]:
    """Number in the recording, source and record of each frame that the watch over drift was shown, in order; no image is read.

    Raises
    ------
    UnreadableRecording
        naming a frame whose record is damaged.
    """
    source_of = {number: series.source for series in recording.series for number in series.frames}
    for number in range(len(recording)):
        if not (text := recording.watched(number)):
            continue
        try:
            watched = decode_watched(text)
        except ValueError as error:
            raise UnreadableRecording(f"{recording.path}: frame {number} is damaged: {error}") from error
        yield number, source_of[number], watched
