"""Reading the pickle inside a checkpoint without running anything of it.

A pickle names functions and classes that Python's own reader would import and call. Here a name is looked up in a short table of
stand-ins and never imported. The stand-ins are made afresh for each file, because a pickle may change whatever it gets hold of.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ._errors import CheckpointRefused

DTYPES: Mapping[str, torch.dtype] = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
}

_INERT = ("torch.optim", "torch.nn", "atomai")
"""Packages whose objects may lie in a checkpoint beside its weights. Objects without content stand in for them."""
_INERT_IN_TORCH = frozenset({"device", "Size", "float16", "bfloat16", "float32", "float64", "int32", "int64", "strided", "contiguous_format"})
_NUMPY_SCALARS = frozenset({"f4", "f8", "i4", "i8", "b1"})
_MOST_MEMOS = 1 << 20


@dataclass(frozen=True)
class Storage:
    """Where the numbers of one or more tensors lie: the key in the file, their type and how many they are."""

    key: str
    dtype: torch.dtype
    elements: int


@dataclass(frozen=True, eq=False)
class StoredTensor:
    """A tensor whose numbers have not been read yet."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """An object that the checkpoint holds and that nobody needs; it takes everything and keeps nothing."""

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def append(self, item: object) -> None:
        pass


def read_pickle(stream: io.BytesIO, name: str, storages: dict[str, Storage] | None = None) -> Any:
    """The next pickle in a stream as plain Python values, `StoredTensor` and `Inert`.

    name : of the file, for messages
    storages : gets every storage that the pickle names, by key

    Raises
    ------
    CheckpointRefused
        for a pickle that wants anything but tensors and containers, naming it, and for a damaged one.
    """
    start = stream.tell()
    try:
        for opcode, argument, _ in pickletools.genops(stream):
            # Python's reader makes room for every number up to the one that is asked for.
            if opcode.name in ("PUT", "BINPUT", "LONG_BINPUT") and isinstance(argument, int) and argument > _MOST_MEMOS:
                raise CheckpointRefused(f"{name} is damaged: its pickle asks for memo {argument}")
        stream.seek(start)
        return _Reader(stream, name, {} if storages is None else storages).load()
    except CheckpointRefused:
        raise
    except Exception as error:  # unpickling raises whatever a damaged stream leads to
        raise CheckpointRefused(f"{name} is not a readable checkpoint: {error or type(error).__name__}") from error


class _Reader(pickle.Unpickler):
    def __init__(self, stream: io.BytesIO, name: str, storages: dict[str, Storage]) -> None:
        super().__init__(stream, encoding="latin1")
        self._file = name
        self._storages = storages
        self._stand_ins = _stand_ins()

    def find_class(self, module: str, name: str) -> Any:
        found = self._stand_ins.get(f"{module}.{name}")
        if found is not None:
            return found
        if (module == "torch" and name in _INERT_IN_TORCH) or any(module == one or module.startswith(one + ".") for one in _INERT):
            return type("Inert", (Inert,), {})
        raise CheckpointRefused(
            f"{self._file} wants {module}.{name}, which is no tensor and no container; nothing of the file was run. "
            "A network of your own can be imported as ONNX, or its state_dict() alone if it is one of AtomAI's"
        )

    def persistent_load(self, pid: Any) -> Any:
        if isinstance(pid, tuple) and len(pid) == 4 and pid[0] == "module":
            # Older files keep a network's class beside its source; by now the class is a stand-in.
            return pid[1]
        if not (isinstance(pid, tuple) and len(pid) >= 5 and pid[0] == "storage" and isinstance(pid[1], torch.dtype) and isinstance(pid[4], int)):
            raise CheckpointRefused(f"{self._file} is damaged: {str(pid)[:80]!r} is no place of a tensor's numbers")
        if len(pid) > 5 and pid[5] is not None:
            raise CheckpointRefused(f"{self._file} holds views of storages, as PyTorch wrote them before 0.4; load it there and save it again")
        return self._storages.setdefault(str(pid[2]), Storage(str(pid[2]), pid[1], pid[4]))


def _stand_ins() -> dict[str, Any]:
    """By full name, what may be in a checkpoint."""

    class Table(dict[Any, Any]):
        """For OrderedDict and defaultdict."""

        def __init__(self, *args: object) -> None:
            super().__init__(args[0] if args and isinstance(args[0], list) else ())

        def __setstate__(self, state: object) -> None:
            pass

    class ScalarType:
        """For numpy.dtype."""

        def __init__(self, code: str, *args: object) -> None:
            self.code = code if code in _NUMPY_SCALARS else ""

        def __setstate__(self, state: object) -> None:
            pass

    def tensor(storage: Storage, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *args: object) -> StoredTensor:
        return StoredTensor(storage, int(offset), tuple(map(int, shape)), tuple(map(int, stride)))

    def parameter(data: StoredTensor, *args: object) -> StoredTensor:
        return data

    def scalar(kind: ScalarType, data: bytes) -> Any:
        return np.frombuffer(data, np.dtype(kind.code), 1)[0].item()

    def encode(text: str, encoding: str) -> bytes:
        return text.encode("latin1")

    storages = {f"{module}.{name}": dtype for module in ("torch", "torch.cuda") for name, dtype in DTYPES.items()}
    return storages | {
        "collections.OrderedDict": Table,
        "collections.defaultdict": Table,
        "builtins.dict": Table,
        "__builtin__.dict": Table,
        "builtins.set": set,
        "__builtin__.set": set,
        "torch._utils._rebuild_tensor_v2": tensor,
        "torch._utils._rebuild_parameter": parameter,
        "torch._utils._rebuild_parameter_with_state": parameter,
        "numpy.dtype": ScalarType,
        "numpy.core.multiarray.scalar": scalar,
        "numpy._core.multiarray.scalar": scalar,
        "_codecs.encode": encode,
    }
