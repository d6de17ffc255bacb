"""Making snapshots of an Iceberg table, and forgetting old ones with the files that only they need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestContent, ManifestEntry, ManifestEntryStatus, ManifestFile
from pyiceberg.partitioning import PartitionSpec
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.snapshots import Operation, Snapshot, Summary
from pyiceberg.table.update.snapshot import ExpireSnapshots, _ManifestMergeManager, _MergeAppendFiles, _OverwriteFiles
from pyiceberg.typedef import EMPTY_DICT

from pleo_connector.warehouses.iceberg_deletes import DeletesWriter

_MANIFEST_BYTES = 8 * 1024 * 1024
_MERGED_FROM = 10
"""Lists of files in one snapshot from which they are merged."""


@dataclass(slots=True)
class Change:
    """What a snapshot does to a table's files."""

    added: Iterable[DataFile] = ()
    removed: list[DataFile] = field(default_factory=list)
    added_deletes: list[DataFile] = field(default_factory=list)
    removed_deletes: list[DataFile] = field(default_factory=list)


class _Rewrite(_OverwriteFiles):
    """Files replaced, and rows marked as gone, in one snapshot.

    PyIceberg's own keeps the lists of deleted files for ever, never merges lists, and knows no delete files.
    """

    added_deletes: Sequence[DataFile] = ()
    removed_deletes: Sequence[DataFile] = ()

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        live = [one for one in manifests if one.added_snapshot_id in (None, self._snapshot_id) or _counts(one)]
        data = [one for one in live if one.content == ManifestContent.DATA]
        deletes = [one for one in live if one.content == ManifestContent.DELETES]
        if self.added_deletes or self.removed_deletes:
            deletes = self._delete_manifests(deletes)
        return _ManifestMergeManager(_MANIFEST_BYTES, _MERGED_FROM, True, self).merge_manifests(data) + deletes

    def _delete_manifests(self, present: list[ManifestFile]) -> list[ManifestFile]:
        """The lists of delete files anew, one for each way that the table was ever partitioned."""
        removed = {one.file_path for one in self.removed_deletes}
        entries: dict[int, list[ManifestEntry]] = {}
        for manifest in present:
            for entry in manifest.fetch_manifest_entry(self._io, discard_deleted=True):
                gone = entry.data_file.file_path in removed
                entries.setdefault(manifest.partition_spec_id, []).append(
                    ManifestEntry.from_args(
                        status=ManifestEntryStatus.DELETED if gone else ManifestEntryStatus.EXISTING,
                        snapshot_id=self._snapshot_id if gone else entry.snapshot_id,
                        sequence_number=entry.sequence_number,
                        file_sequence_number=entry.file_sequence_number,
                        data_file=entry.data_file,
                    )
                )
        for file in self.added_deletes:
            added = ManifestEntry.from_args(
                status=ManifestEntryStatus.ADDED, snapshot_id=self._snapshot_id, sequence_number=None, file_sequence_number=None, data_file=file
            )  # fmt: skip
            entries.setdefault(file.spec_id, []).append(added)
        written = []
        for spec, listed in entries.items():
            place = self.new_manifest_output()
            with DeletesWriter(self._spec_of(spec), self._now.schema(), place, self._snapshot_id, self._compression) as writer:
                for entry in listed:
                    writer.add_entry(entry)
            written.append(writer.to_manifest_file())
        return written

    def _summary(self, snapshot_properties: dict[str, str] = EMPTY_DICT) -> Summary:
        data = self._added_data_files, self._deleted_data_files
        self._added_data_files = [*data[0], *self.added_deletes]
        self._deleted_data_files = data[1] | set(self.removed_deletes)
        try:
            return super()._summary(snapshot_properties)
        finally:
            self._added_data_files, self._deleted_data_files = data

    @property
    def _now(self) -> TableMetadata:
        return self._transaction.table_metadata

    def _spec_of(self, number: int) -> PartitionSpec:
        return self._now.specs()[number]


def snapshot(work: Transaction, change: Change, properties: dict[str, str]) -> None:
    """Make one snapshot of a change."""
    update: _MergeAppendFiles | _Rewrite
    if change.removed or change.added_deletes or change.removed_deletes:
        io = work._table.io  # noqa: SLF001 - it has no other name
        update = _Rewrite(operation=Operation.OVERWRITE, transaction=work, io=io, snapshot_properties=properties)
        update.added_deletes, update.removed_deletes = change.added_deletes, change.removed_deletes
    else:
        update = work.update_snapshot(snapshot_properties=properties).merge_append()
    with update as producer:
        for file in change.removed:
            producer.delete_data_file(file)
        for file in change.added:
            producer.append_data_file(file)


def forgotten(work: Transaction, outdated: Iterable[Snapshot]) -> set[str]:
    """Forget these snapshots; returns the files that no other needs, to be deleted once this is published."""
    ids = {one.snapshot_id for one in outdated} - {ref.snapshot_id for ref in work.table_metadata.refs.values()}
    if not ids:
        return set()
    snapshots, io = work.table_metadata.snapshots, work._table.io  # noqa: SLF001 - it has no other name
    unneeded = files_of(io, (one for one in snapshots if one.snapshot_id in ids)) - files_of(
        io, (one for one in snapshots if one.snapshot_id not in ids)
    )
    ExpireSnapshots(work).by_ids(sorted(ids)).commit()
    return unneeded


def files_of(io: FileIO, snapshots: Iterable[Snapshot]) -> set[str]:
    """Every file that these snapshots are made of: data, lists of data files, and lists of those lists."""
    lists = {one.manifest_list: one for one in snapshots if one.manifest_list}
    manifests = {manifest.manifest_path: manifest for one in lists.values() for manifest in one.manifests(io)}
    data = {
        entry.data_file.file_path for manifest in manifests.values() for entry in manifest.fetch_manifest_entry(io, discard_deleted=True)
    }
    return {*lists, *manifests, *data}


def _counts(manifest: ManifestFile) -> bool:
    return bool(manifest.added_files_count or manifest.existing_files_count)
