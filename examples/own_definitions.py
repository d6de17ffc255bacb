"""Pleo's tables beside the assets of a code location of your own, with keys and groups of your choosing.

Settings are the `PLEO_*` variables; with none set, they are those of the local sandbox (`pleo-connector sandbox`).
"""

import dagster as dg

from pleo_connector import PleoTableData, PleoTranslator, WarehouseResource, build_pleo_definitions, get_asset_key_for_table


class FinanceTranslator(PleoTranslator):
    """One method says what each table's asset is called and whose it is."""

    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        """Everything under `finance/`, in a group per stream, owned by one team."""
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=["finance", data.table.name], group_name=data.stream.name, owners=["team:finance"])


# executor=None leaves the choice of executor to this code location.
pleo = build_pleo_definitions(translator=FinanceTranslator(), executor=None)


@dg.asset(deps=[get_asset_key_for_table("accounting_entries", pleo)], group_name="reports")
def spend_by_currency(context: dg.AssetExecutionContext, pleo_warehouse: WarehouseResource) -> dg.MaterializeResult[None]:
    """How many currencies were spent in; depends on a table by the helper, so it follows the translator, and a wrong name is refused."""
    with pleo_warehouse.open().transaction() as transaction:
        currencies = transaction.scalar("SELECT count(DISTINCT total_bill_value_currency) FROM {schema}.accounting_entries")
    context.log.info("%s currencies", currencies)
    return dg.MaterializeResult(metadata={"currencies": int(str(currencies))})


@dg.asset(deps=[["finance", "vendors"]], group_name="reports")
def suppliers(pleo_warehouse: WarehouseResource) -> dg.MaterializeResult[None]:
    """How many suppliers there are; depends on a table by its key, written out."""
    with pleo_warehouse.open().transaction() as transaction:
        count = transaction.scalar("SELECT count(*) FROM {schema}.vendors WHERE _deleted_at IS NULL")
    return dg.MaterializeResult(metadata={"suppliers": int(str(count))})


defs = dg.Definitions.merge(
    pleo,
    dg.Definitions(
        assets=[spend_by_currency, suppliers],
        jobs=[dg.define_asset_job("spend_and_reports", selection=dg.AssetSelection.assets("spend_by_currency", "suppliers").upstream())],
        executor=dg.in_process_executor,
    ),
)
