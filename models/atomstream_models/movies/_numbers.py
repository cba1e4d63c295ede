from __future__ import annotations

from ..errors import InputError


def frame_numbers(text: str, count: int, flag: str) -> list[int]:
    """The frame numbers in a text such as `0,5,11` or `0-5,9`, in rising order, each below `count`.

    Raises
    ------
    InputError
        naming the part that isn't a frame number, or the frame that isn't there.
    """
    found: set[int] = set()
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()) or (dash and int(last) < int(first)):
            raise InputError(f"{flag}: {part.strip()!r} is neither a frame number nor a range of them")
        if int(last or first) >= count:
            raise InputError(f"{flag}: there is no frame {last or first}; there are {count}, counted from 0")
        found.update(range(int(first), int(last or first) + 1))
    return sorted(found)
