"""Models, as the protocol calls registered ensembles."""

from __future__ import annotations

from typing import Any

from atomstream_models.bundle import Card
from atomstream_wire import ATOM_COLUMNS

from .._refusal import RequestRefused
from .._service import Service
from .._uses import Use, use_of
from .._wish import EnsembleRef
from ._frames import INPUT
from ._messages import IndexEntry, ModelMetadata, TensorMetadata

_PLATFORM = "atomstream_ensemble"
_REASON = {
    Use.LAST_GOOD: "comes back should the live ensemble fail in its first frames",
    Use.CANDIDATE: "runs beside the live ensemble and does not answer",
    Use.EARLIER: "was live before",
    Use.NONE: "registered, not loaded",
}


def find(service: Service, name: str, version: str | None) -> tuple[str, str]:
    """Name and version of the registered ensemble meant: without a version the live one of that name, or the only one.

    Raises
    ------
    RequestRefused
        404 where there is none, 400 where there are several and none of them is live.
    """
    live = service.wish.live.ensemble
    if name == live.name and version in (None, live.version):
        return live.name, live.version
    known = service.registry.entries()
    versions = [one.version for one in known if one.name == name]
    if not versions:
        raise RequestRefused(404, "not_registered", f"there is no model {name!r}; there are {', '.join(sorted({one.name for one in known}))}")
    if version is None and len(versions) > 1:
        raise RequestRefused(400, "no_version", f"{name} has the versions {', '.join(versions)} and none of them is live; name one")
    if version is not None and version not in versions:
        raise RequestRefused(404, "not_registered", f"{name} has no version {version!r}; it has {', '.join(versions)}")
    return name, versions[0] if version is None else version


def check_live(service: Service, name: str, version: str | None) -> EnsembleRef:
    """The live ensemble, if it is the one meant.

    Raises
    ------
    RequestRefused
        404 where there is none of that name, 400 where it is not the live one.
    """
    meant = find(service, name, version)
    live = service.wish.live.ensemble
    if meant != (live.name, live.version):
        raise RequestRefused(400, "not_live", f"{meant[0]} {meant[1]} is not ready: the live ensemble is {live}; load it first")
    return live


def index(service: Service) -> list[IndexEntry]:
    """Every registered ensemble, and why it does not answer where it does not."""
    wish, reasons = service.wish, service.not_ready()
    listed = []
    for entry in service.registry.entries():
        use = use_of(wish, entry.name, entry.version)
        reason = "; ".join(reasons) if use is Use.LIVE else _REASON[use]
        listed.append(IndexEntry(name=entry.name, version=entry.version, state="UNAVAILABLE" if reason else "READY", reason=reason))
    return listed


def metadata(service: Service, name: str, version: str) -> ModelMetadata:
    """What a model takes and gives."""
    card = service.registered(name, version).card
    return ModelMetadata(
        name=name,
        versions=[one.version for one in service.registry.entries() if one.name == name],
        platform=_PLATFORM,
        inputs=[TensorMetadata(name=INPUT, datatype="FP32", shape=[-1, -1, -1])],
        outputs=_outputs(card),
    )


def configuration(service: Service, name: str, version: str) -> dict[str, Any]:
    """The same in the words of Triton's model configuration, as far as clients ask for it."""
    card, described = service.registered(name, version).card, metadata(service, name, version)
    return {
        "name": name,
        "platform": _PLATFORM,
        "backend": "atomstream",
        "version_policy": {"specific": {"versions": [version]}},
        "max_batch_size": 0,  # the frames of a request are a dimension of its tensors
        "input": [_configured(one) for one in described.inputs],
        "output": [_configured(one) for one in described.outputs],
        "parameters": {"classes": {"string_value": ",".join(card.classes)}, "columns": {"string_value": ",".join(ATOM_COLUMNS)}},
    }


def _outputs(card: Card) -> list[TensorMetadata]:
    maps = [-1, len(card.classes), -1, -1]
    return [
        TensorMetadata(name="mean", datatype="FP32", shape=maps),
        TensorMetadata(name="std", datatype="FP32", shape=maps),
        TensorMetadata(name="atoms", datatype="FP32", shape=[-1, len(ATOM_COLUMNS)]),
        TensorMetadata(name="atoms_count", datatype="INT32", shape=[-1]),
    ]


def _configured(tensor: TensorMetadata) -> dict[str, Any]:
    return {"name": tensor.name, "data_type": f"TYPE_{tensor.datatype}", "dims": tensor.shape}
