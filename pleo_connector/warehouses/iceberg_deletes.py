"""Position deletes: files beside a data file that say which of its rows are gone, so that it need not be written anew.

PyIceberg reads them and writes none. A delete file of ours is about one data file and names all its rows that are gone: the
next one takes its place. Format 2 of Iceberg's specification says what is in it, in "Position Delete Files".
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import _read_deletes
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat, ManifestContent, ManifestWriterV2

PATH_ID, POS_ID = 2147483546, 2147483545
"""Field ids that the specification reserves for the two columns."""

_SCHEMA = pa.schema(
    [
        pa.field("file_path", pa.string(), nullable=False, metadata={"PARQUET:field_id": str(PATH_ID)}),
        pa.field("pos", pa.int64(), nullable=False, metadata={"PARQUET:field_id": str(POS_ID)}),
    ]
)


def deleted_rows(io: FileIO, file: DataFile, deletes: Iterable[DataFile]) -> np.ndarray | None:
    """True at the positions of the file's rows that are gone; None if all are there."""
    gone = None
    for one in deletes:
        positions = _positions(io, one) if _is_plain(one, file) else _read_deletes(io, one).get(file.file_path)
        if positions is not None and len(positions):
            if gone is None:
                gone = np.zeros(file.record_count, dtype=bool)
            gone[positions.to_numpy()] = True
    return gone


def _is_plain(delete: DataFile, file: DataFile) -> bool:
    return delete.file_format == FileFormat.PARQUET and bool(only_about([delete], file))


def _positions(io: FileIO, delete: DataFile) -> pa.ChunkedArray:
    """All positions in a delete file. PyIceberg reads the paths beside them too, which takes three times as long."""
    with io.new_input(delete.file_path).open() as stream:
        return pq.ParquetFile(stream).read(["pos"]).column(0)


def write_deletes(io: FileIO, file: DataFile, gone: np.ndarray) -> DataFile:
    """Write the delete file that says which rows of this data file are gone, beside it."""
    positions = np.flatnonzero(gone)
    paths = pa.DictionaryArray.from_arrays(pa.array(np.zeros(len(positions), np.int32)), pa.array([file.file_path]))
    place = f"{file.file_path.rpartition('/')[0]}/{uuid.uuid4()}-deletes.parquet"
    output = io.new_output(place)
    with output.create() as stream:
        pq.write_table(pa.table([paths.cast(pa.string()), pa.array(positions)], schema=_SCHEMA), stream, compression="zstd")
    path, low, high = file.file_path.encode(), *(int(end).to_bytes(8, "little") for end in (positions[0], positions[-1]))
    made = DataFile.from_args(
        content=DataFileContent.POSITION_DELETES,
        file_path=place,
        file_format=FileFormat.PARQUET,
        partition=file.partition,
        record_count=len(positions),
        file_size_in_bytes=len(output),
        value_counts={PATH_ID: len(positions), POS_ID: len(positions)},
        null_value_counts={PATH_ID: 0, POS_ID: 0},
        lower_bounds={PATH_ID: path, POS_ID: low},  # both ends the same path: readers know by it which file this is about
        upper_bounds={PATH_ID: path, POS_ID: high},
    )
    made.spec_id = file.spec_id
    return made


def only_about(deletes: Iterable[DataFile], file: DataFile) -> list[DataFile]:
    """Those of the delete files that are about this data file alone; other programs may write some about several."""
    path = file.file_path.encode()
    return [one for one in deletes if path == (one.lower_bounds or {}).get(PATH_ID) == (one.upper_bounds or {}).get(PATH_ID)]


class DeletesWriter(ManifestWriterV2):
    """Writes a list of delete files; PyIceberg has one for data files only."""

    def content(self) -> ManifestContent:
        """What the list is of."""
        return ManifestContent.DELETES

    @property
    def _meta(self) -> dict[str, str]:
        return super()._meta | {"content": "deletes"}
