-- Entries that count, one row each, with what each is: spend, a cost of Pleo, or a movement of money. Deleted entries, drafts and those that
-- were cancelled, rejected or failed do not count. The one place that says what spend is; docs/spend.md lists the families.
--
-- entry_id uuid: Entry key. [accounting_entries.id]
-- kind text: spend, cost (of Pleo: its invoices, fees, interest, cashback) or movement (of money). A family that is not known counts as spend. [accounting_entries.family, accounting_entries.sub_family]
-- company_id uuid: Owning company. [accounting_entries.company_id]
-- company_name text: Company name. [companies.name]
-- performed_at timestamp: When the spend happened. [accounting_entries.performed_at]
-- month date: First day of the month in which it happened, UTC. [accounting_entries.performed_at]
-- days_open bigint: Days since then. [accounting_entries.performed_at]
-- family text: Kind of entry; the comment of accounting_entries.family lists them. [accounting_entries.family]
-- sub_family text: Finer kind. [accounting_entries.sub_family]
-- status text: Payment state. [accounting_entries.status]
-- review_status text: Approval state. [accounting_entries.review_status]
-- export_status text: Bookkeeping export state. [accounting_entries.export_status]
-- settled_at timestamp: When funds moved; NULL while unsettled. [accounting_entries.settled_at]
-- employee_id uuid: Spender. [accounting_entries.employee_id, accounting_entries.inline_employee_id]
-- employee_name text: Name of the spender, from the list of employees or else from the entry itself. [employees.first_name, employees.last_name, accounting_entries.employee_first_name, accounting_entries.employee_last_name]
-- team_id uuid: Team the entry is booked to. [accounting_entries.team_id]
-- merchant text: Where it was spent, where the entry says it. [accounting_entries.merchant_name]
-- account_id uuid: Category that the spender chose. [accounting_entries.account_id]
-- account_code text: Number of the ledger account, where Pleo serves it. [accounting_entries.account_code]
-- tax_code_id uuid: Tax code. [accounting_entries.tax_code_id]
-- amount money: Booked amount in company currency, exact; NULL while Pleo gives none. [accounting_entries.total_bill_value]
-- currency text: Company currency, ISO 4217. [accounting_entries.total_bill_value_currency]
-- paid_amount money: Amount in the currency it was paid in, exact. [accounting_entries.transaction_value]
-- paid_currency text: Currency it was paid in, ISO 4217. [accounting_entries.transaction_value_currency]
-- note text: The spender's note. [accounting_entries.note]
SELECT
  e.id AS entry_id,
  CASE
    WHEN e.family IN ('PLEO_INVOICE', 'OVERDRAFT', 'CASHBACK') THEN 'cost'
    WHEN e.family NOT IN ('WALLET', 'REIMBURSEMENT', 'BILL_INVOICE_PAYMENT', 'BALANCE_AMENDMENT') OR e.family IS NULL THEN 'spend'
    WHEN e.sub_family IN ('FEE', 'INTEREST') THEN 'cost'
    ELSE 'movement'
  END AS kind,
  e.company_id,
  c.name AS company_name,
  e.performed_at,
  CAST(date_trunc('month', e.performed_at AT TIME ZONE 'UTC') AS DATE) AS month,
  CAST(current_date - CAST(e.performed_at AT TIME ZONE 'UTC' AS DATE) AS BIGINT) AS days_open,
  e.family,
  e.sub_family,
  e.status,
  e.review_status,
  e.export_status,
  e.settled_at,
  coalesce(e.employee_id, e.inline_employee_id) AS employee_id,
  coalesce(
    nullif(concat_ws(' ', m.first_name, m.last_name), ''), nullif(concat_ws(' ', e.employee_first_name, e.employee_last_name), '')
  ) AS employee_name,
  e.team_id,
  nullif(trim(e.merchant_name), '') AS merchant,
  e.account_id,
  e.account_code,
  e.tax_code_id,
  e.total_bill_value AS amount,
  e.total_bill_value_currency AS currency,
  e.transaction_value AS paid_amount,
  e.transaction_value_currency AS paid_currency,
  e.note
FROM accounting_entries AS e
LEFT JOIN companies AS c ON c.id = e.company_id
LEFT JOIN employees AS m ON m.id = coalesce(e.employee_id, e.inline_employee_id)
WHERE e._deleted_at IS NULL
  AND coalesce(e.status, '') NOT IN ('DRAFT', 'CANCELLED', 'REJECTED', 'ERROR')
