from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from atomstream_models.errors import ExtraMissing

from ._rows import COLUMNS, NM_COLUMNS, WHOLE, FrameAtoms


def write_parquet(file: Path, frames: Iterable[FrameAtoms], nm: bool) -> None:
    """One row an atom, null where something is unknown.

    Raises `ExtraMissing` without pyarrow.
    """
    try:
        import pyarrow as pa  # noqa: PLC0415
        from pyarrow import parquet  # noqa: PLC0415
    except ImportError as missing:
        raise ExtraMissing("pyarrow", "parquet") from missing
    kinds = {"class": pa.string(), **dict.fromkeys(WHOLE, pa.int64()), **dict.fromkeys(NM_COLUMNS, pa.float64())}
    names = (*COLUMNS, *NM_COLUMNS) if nm else COLUMNS
    schema = pa.schema([(name, kinds.get(name, pa.float32())) for name in names])
    with parquet.ParquetWriter(file, schema) as out:
        for frame in frames:
            columns = [pa.array(values, schema.field(name).type, from_pandas=True) for name, values in frame.columns(nm).items()]
            out.write_table(pa.Table.from_arrays(columns, schema=schema))
