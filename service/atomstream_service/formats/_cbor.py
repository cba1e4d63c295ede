"""Just enough CBOR (RFC 8949) to read another's messages, and nothing that a message could run or blow up.

Byte strings are views of the message. Tags are handed on as they are: what no format asks for never becomes more than a number and its content.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from atomstream_wire import WireError

_DEEPEST = 16
_MOST_ITEMS = 20_000
"""Arrays of pixels are single byte strings, so that whole messages have a few hundred items."""

_FLOATS = {25: struct.Struct(">e"), 26: struct.Struct(">f"), 27: struct.Struct(">d")}
_SIMPLE = {20: False, 21: True, 22: None, 23: None}
_INDEFINITE = 31
_BREAK = 0xFF


class Tagged(NamedTuple):
    """A tag and what it is about."""

    tag: int
    content: Any


def load_cbor(data: Any) -> Any:
    """The one data item in these bytes: int, float, str, bool, None, list, dict with keys of text, memoryview for a byte string, or `Tagged`.

    Raises
    ------
    WireError
        where it is not well-formed, deeper than 16, of more than 20,000 items, or something is behind it.
    """
    reader = _Reader(memoryview(data).cast("B"))
    item = reader.item(0)
    if reader.left:
        raise _bad(f"{reader.left} bytes are behind the data item")
    return item


def _bad(what: str) -> WireError:
    return WireError("bad_cbor", what)


class _Reader:
    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._at = 0
        self._items = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def item(self, depth: int) -> Any:
        self._items += 1
        if self._items > _MOST_ITEMS:
            raise _bad(f"more than {_MOST_ITEMS} data items")
        if depth > _DEEPEST:
            raise _bad(f"deeper than {_DEEPEST}")
        major, info = divmod(self._take(1)[0], 32)
        if major == 7:
            return self._simple(info)
        if info == _INDEFINITE:
            return self._of_unknown_length(major, depth)
        value = self._argument(info)
        match major:
            case 0:
                return value
            case 1:
                return -1 - value
            case 2:
                return self._take(value)
            case 3:
                return _text(self._take(value))
            case 4:
                return self._list(value, depth)
            case 5:
                return self._map(value, depth)
            case _:
                return Tagged(value, self.item(depth + 1))

    def _of_unknown_length(self, major: int, depth: int) -> Any:
        match major:
            case 2:
                return memoryview(b"".join(self._chunks(2)))
            case 3:
                return "".join(map(_text, self._chunks(3)))
            case 4:
                return self._list(None, depth)
            case 5:
                return self._map(None, depth)
        raise _bad(f"a data item of type {major} can't be of unknown length")

    def _take(self, count: int) -> memoryview:
        if count > self.left:
            raise _bad(f"{count} bytes are announced at byte {self._at}, {self.left} are left")
        part = self._data[self._at : self._at + count]
        self._at += count
        return part

    def _argument(self, info: int) -> int:
        if info < 24:
            return info
        if info > 27:
            raise _bad(f"additional information {info} at byte {self._at - 1}")
        return int.from_bytes(self._take(1 << (info - 24)), "big")

    def _simple(self, info: int) -> Any:
        if info in _SIMPLE:
            return _SIMPLE[info]
        if info in _FLOATS:
            layout = _FLOATS[info]
            return layout.unpack(self._take(layout.size))[0]
        raise _bad(f"simple value {info} at byte {self._at - 1}")

    def _chunks(self, major: int) -> list[memoryview]:
        chunks = []
        while not self._ends():
            kind, info = divmod(self._take(1)[0], 32)
            if kind != major or info == _INDEFINITE:
                raise _bad(f"a chunk of type {kind} in a string of type {major}")
            self._items += 1
            if self._items > _MOST_ITEMS:
                raise _bad(f"more than {_MOST_ITEMS} data items")
            chunks.append(self._take(self._argument(info)))
        return chunks

    def _list(self, count: int | None, depth: int) -> list[Any]:
        found: list[Any] = []
        while not (self._ends() if count is None else len(found) == count):
            found.append(self.item(depth + 1))
        return found

    def _map(self, count: int | None, depth: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not (self._ends() if count is None else len(found) == count):
            key = self.item(depth + 1)
            if not isinstance(key, str):
                raise _bad(f"a key of a map is a {type(key).__name__}, not a text")
            if key in found:
                raise _bad(f"key {key!r} is there twice")
            found[key] = self.item(depth + 1)
        return found

    def _ends(self) -> bool:
        """Whether what is of unknown length ends here."""
        if not self.left:
            raise _bad("the data end before a break")
        if self._data[self._at] != _BREAK:
            return False
        self._at += 1
        return True


def _text(part: memoryview) -> str:
    try:
        return str(part, "utf-8")
    except UnicodeDecodeError as error:
        raise _bad(f"a text is not UTF-8: {error}") from error
