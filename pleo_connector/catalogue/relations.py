"""What must hold between tables: references that lead somewhere, amounts that add up, counts that agree.

Checks derive from these declarations. Each checks itself against the catalogue: a name that no table has fails at import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from pleo_connector.catalogue.entry_values import FAMILIES
from pleo_connector.catalogue.exports import FINAL
from pleo_connector.catalogue.registry import CATALOGUE, Catalogue
from pleo_connector.catalogue.table import Table


@dataclass(frozen=True, slots=True)
class Reference:
    """`column` of `table` holds the key of a row of `target`. Archived and deleted targets are there too, so they count."""

    table: str
    column: str
    target: str
    may_predate: str | None = None
    """Column with the time of a row, where Pleo serves no targets that left before the first sync: older rows are only counted."""
    optional: bool = False
    """Pleo lists not all targets, so that a row without one is normal, and only counted."""

    def names(self) -> Iterator[tuple[str, str]]:
        """(table, column) of everything it names."""
        yield from ((self.table, self.column), (self.target, "id"))
        if self.may_predate is not None:
            yield self.table, self.may_predate


@dataclass(frozen=True, slots=True)
class AddsUp:
    """Money of the parts sums to the money of the whole they belong to, in one currency; `unit` is the exact column's ending."""

    check: str
    table: str
    whole: str
    money: tuple[tuple[str, str], ...]
    """(column of a part, column of the whole)."""
    unit: str

    def names(self) -> Iterator[tuple[str, str]]:
        """(table, column) of everything it names."""
        for part, whole in self.money:
            yield from ((self.table, f"{part}_{end}") for end in (self.unit, "currency"))
            yield from ((self.whole, f"{whole}_{end}") for end in (self.unit, "currency"))


@dataclass(frozen=True, slots=True)
class NetAndTax:
    """A line is its net amount plus its tax; under reverse charge the buyer owes the tax, and a line may be its net amount alone."""

    check: str
    table: str
    money: tuple[tuple[str, str, str], ...]
    """(line, net, tax)."""
    tax_type: str

    def names(self) -> Iterator[tuple[str, str]]:
        """(table, column) of everything it names."""
        yield self.table, self.tax_type
        yield from ((self.table, f"{name}_{end}") for trio in self.money for name in trio for end in ("value", "currency"))


@dataclass(frozen=True, slots=True)
class Counts:
    """`column` of `table` says how many rows of `parts` belong to a row, once `status` is one of `final`."""

    check: str
    table: str
    column: str
    parts: str
    parts_column: str
    status: str
    final: tuple[str, ...]

    def names(self) -> Iterator[tuple[str, str]]:
        """(table, column) of everything it names."""
        yield from ((self.table, self.column), (self.table, self.status), (self.parts, self.parts_column))


@dataclass(frozen=True, slots=True)
class KnownValues:
    """`column` of `table` holds only these values."""

    check: str
    table: str
    column: str
    values: tuple[str, ...]
    otherwise: str
    """What a row with another value means to who reads the tables, as a sentence."""

    def names(self) -> Iterator[tuple[str, str]]:
        """(table, column) of everything it names."""
        yield self.table, self.column


Relation = Reference | AddsUp | NetAndTax | Counts | KnownValues


class Relations:
    """Relations by table; ValueError for a table or column that the catalogue does not have."""

    def __init__(self, *relations: Relation, catalogue: Catalogue = CATALOGUE) -> None:
        self._relations = relations
        tables = {table.name: table for table in catalogue.tables()}
        for relation in relations:
            for table, column in relation.names():
                if table not in tables or column not in tables[table].column_names:
                    raise ValueError(f"{relation} names {table}.{column}, which no stream declares")

    def of(self, table: Table, catalogue: Catalogue = CATALOGUE) -> tuple[Relation, ...]:
        """The relations of a table whose other tables are in the catalogue too."""
        known = {table.name for table in catalogue.tables()}
        return tuple(one for one in self._relations if one.table == table.name and known.issuperset(others([one])))


def others(relations: Iterable[Relation]) -> tuple[str, ...]:
    """The tables that these relations read besides their own."""
    tables = {table: None for relation in relations for table, _ in relation.names() if table != relation.table}
    return tuple(tables)


_WALLET, _SUPPLIER = "in_wallet_currency", "in_supplier_currency"

RELATIONS = Relations(
    Reference("tag_group_dimensions", "tag_group_id", "tag_groups"),
    Reference("tags", "tag_group_id", "tag_groups"),
    Reference("accounting_entries", "employee_id", "employees", may_predate="performed_at"),
    Reference("accounting_entries", "account_id", "accounts", optional=True),
    Reference("accounting_entries", "tax_code_id", "tax_codes"),
    Reference("accounting_entry_splits", "account_id", "accounts", optional=True),
    Reference("accounting_entry_splits", "tax_code_id", "tax_codes"),
    Reference("accounting_entry_split_tags", "tag_id", "tags"),
    Reference("accounting_entry_tags", "tag_id", "tags"),
    Reference("accounting_entry_receipts", "receipt_id", "receipts"),
    Reference("export_job_items", "export_job_id", "export_jobs"),
    Reference("export_items", "export_job_id", "export_jobs"),
    Reference("export_items", "employee_id", "employees", may_predate="booked_at"),
    Reference("export_items", "vendor_id", "vendors"),
    Reference("export_item_lines", "account_id", "accounts"),
    Reference("export_item_lines", "tax_code_id", "tax_codes"),
    Reference("export_item_line_tags", "tag_id", "tags"),
    AddsUp(
        "splits_sum_to_entry",
        "accounting_entry_splits",
        "accounting_entries",
        (("transaction_value", "transaction_value"), ("total_bill_value", "total_bill_value")),
        "minors",
    ),
    AddsUp(
        "lines_sum_to_item",
        "export_item_lines",
        "export_items",
        tuple((f"line_amount_{currency}", f"amount_{currency}") for currency in (_SUPPLIER, _WALLET)),
        "value",
    ),
    NetAndTax(
        "line_is_net_plus_tax",
        "export_item_lines",
        tuple((f"line_amount_{currency}", f"net_amount_{currency}", f"tax_amount_{currency}") for currency in (_SUPPLIER, _WALLET)),
        "tax_type",
    ),
    KnownValues("family_is_known", "accounting_entries", "family", tuple(FAMILIES), "An entry of another family counts as spend."),
    Counts("item_counts_match_job", "export_jobs", "number_of_items", "export_job_items", "export_job_id", "status", FINAL),
)
"""What the checks hold the tables against."""
