"""Making snapshots of an Iceberg table, and forgetting old ones with the files that only they need."""

from __future__ import annotations

from collections.abc import Iterable

from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile, ManifestFile
from pyiceberg.table import Transaction
from pyiceberg.table.snapshots import Operation, Snapshot
from pyiceberg.table.update.snapshot import ExpireSnapshots, _ManifestMergeManager, _OverwriteFiles

_MANIFEST_BYTES = 8 * 1024 * 1024
_MERGED_FROM = 10
"""Lists of files in one snapshot from which they are merged."""


class _Rewrite(_OverwriteFiles):
    """Files replaced in one snapshot. PyIceberg's own keeps the lists of deleted files for ever, and never merges lists."""

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        live = [one for one in manifests if one.added_snapshot_id in (None, self._snapshot_id) or _counts(one)]
        merger = _ManifestMergeManager(_MANIFEST_BYTES, _MERGED_FROM, True, self)
        return merger.merge_manifests(live)


def snapshot(work: Transaction, removed: Iterable[DataFile], added: Iterable[DataFile], properties: dict[str, str]) -> None:
    """Replace files by others, in one snapshot."""
    gone = list(removed)
    update = work.update_snapshot(snapshot_properties=properties).merge_append()
    if gone:
        update = _Rewrite(operation=Operation.OVERWRITE, transaction=work, io=work._table.io, snapshot_properties=properties)  # type: ignore[assignment] # noqa: SLF001
    with update as producer:
        for file in gone:
            producer.delete_data_file(file)
        for file in added:
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
