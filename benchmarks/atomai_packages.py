"""AtomAI 0.8.1 out of a folder that `benchmarks/versus_atomai.py WORK --prepare` filled (WORK/packages).

What AtomAI imports but neither training nor predicting uses (torchvision, element tables, plotting helpers) is replaced by empty modules.
"""

from __future__ import annotations

import importlib.abc
import importlib.machinery
import sys
import types
import warnings
from pathlib import Path
from typing import Any

_EMPTY = ("torchvision", "mendeleev", "progressbar", "segment_anything", "botorch")


class _Empty(types.ModuleType):
    __path__: list[str] = []  # noqa: RUF012

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {})


class _Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    def find_spec(self, fullname: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        return importlib.machinery.ModuleSpec(fullname, self, is_package=True) if fullname.split(".", maxsplit=1)[0] in _EMPTY else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        """Nothing is in it."""


def use(packages: Path) -> None:
    """Have `import atomai` find it."""
    sys.meta_path.insert(0, _Finder())
    sys.path.append(str(packages))
    warnings.filterwarnings("ignore")
