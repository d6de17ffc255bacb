-- What was spent: one row for each part of a split entry, and one for each entry that is not split. Deleted, cancelled and failed entries
-- and mere movements of money (wallets, reimbursements, Pleo's own invoices) are left out.
--
-- entry_id uuid: Entry key. [accounting_entries.id]
-- split_position bigint: Place of the part in its entry, from 1; NULL when the entry is not split. [accounting_entry_splits.position]
-- company_id uuid: Owning company. [accounting_entries.company_id]
-- company_name text: Company name. [companies.name]
-- performed_at timestamp: When the spend happened. [accounting_entries.performed_at]
-- month date: First day of the month in which it happened, UTC. [accounting_entries.performed_at]
-- family text: Kind of entry. [accounting_entries.family]
-- sub_family text: Finer kind. [accounting_entries.sub_family]
-- status text: Payment state. [accounting_entries.status]
-- review_status text: Approval state. [accounting_entries.review_status]
-- export_status text: Bookkeeping export state. [accounting_entries.export_status]
-- settled_at timestamp: When funds moved; NULL while unsettled. [accounting_entries.settled_at]
-- employee_id uuid: Spender. [accounting_entries.employee_id]
-- employee_name text: Name of the spender. [employees.first_name, employees.last_name]
-- team_id uuid: Team the entry is booked to. [accounting_entries.team_id]
-- team_name text: Name of the team, where an export job carried it: Pleo serves it nowhere else. [export_items.team_name]
-- account_id uuid: Ledger account (category); NULL when unknown. [accounting_entries.account_id, accounting_entry_splits.account_id]
-- account_code text: Number of the ledger account. [accounting_entries.account_code, accounting_entry_splits.account_code, accounts.code]
-- account_name text: Name of the ledger account. [accounts.name]
-- tax_code_id uuid: Tax code. [accounting_entries.tax_code_id, accounting_entry_splits.tax_code_id]
-- tax_code text: Key of the tax code in the accounting system. [tax_codes.code]
-- tax_code_name text: Display name of the tax code. [tax_codes.name]
-- tax_rate rate: Fraction, so 20 % is 0.20. [tax_codes.rate]
-- merchant text: Where it was spent: the merchant of the entry, else the supplier on its export item; NULL where neither came. [accounting_entries.merchant_name, export_items.supplier_name]
-- amount money: Booked amount in company currency, exact; NULL while Pleo gives none. [accounting_entries.total_bill_value, accounting_entry_splits.total_bill_value]
-- currency text: Company currency, ISO 4217. [accounting_entries.total_bill_value_currency, accounting_entry_splits.total_bill_value_currency]
-- paid_amount money: Amount in the currency it was paid in, exact. [accounting_entries.transaction_value, accounting_entry_splits.transaction_value]
-- paid_currency text: Currency it was paid in, ISO 4217. [accounting_entries.transaction_value_currency, accounting_entry_splits.transaction_value_currency]
-- note text: The spender's note. [accounting_entries.note]
WITH split_entries AS (
  -- A part without an amount would be missing from every sum: such an entry counts as one row.
  SELECT accounting_entry_id
  FROM accounting_entry_splits
  WHERE _deleted_at IS NULL
  GROUP BY accounting_entry_id
  HAVING count(total_bill_value) = count(*)
),
parts AS (
  SELECT
    s.accounting_entry_id AS entry_id, s.position AS split_position, s.account_id, s.account_code, s.tax_code_id,
    s.total_bill_value, s.total_bill_value_currency, s.transaction_value, s.transaction_value_currency
  FROM accounting_entry_splits AS s
  JOIN split_entries AS u ON u.accounting_entry_id = s.accounting_entry_id
  WHERE s._deleted_at IS NULL
  UNION ALL
  SELECT
    e.id, NULL, e.account_id, e.account_code, e.tax_code_id,
    e.total_bill_value, e.total_bill_value_currency, e.transaction_value, e.transaction_value_currency
  FROM accounting_entries AS e
  LEFT JOIN split_entries AS u ON u.accounting_entry_id = e.id
  WHERE u.accounting_entry_id IS NULL
),
accounts_by_code AS (
  SELECT company_id, code, min(name) AS name
  FROM accounts
  WHERE _deleted_at IS NULL
  GROUP BY company_id, code
),
exported AS (
  SELECT
    accounting_entry_id, supplier_name,
    row_number() OVER (PARTITION BY accounting_entry_id ORDER BY _synced_at DESC, id) AS place
  FROM export_items
  WHERE accounting_entry_id IS NOT NULL
),
teams AS (
  SELECT
    team_id, team_name,
    row_number() OVER (PARTITION BY team_id ORDER BY _synced_at DESC, id) AS place
  FROM export_items
  WHERE team_id IS NOT NULL AND team_name IS NOT NULL
)
SELECT
  e.id AS entry_id,
  p.split_position,
  e.company_id,
  c.name AS company_name,
  e.performed_at,
  CAST(date_trunc('month', e.performed_at AT TIME ZONE 'UTC') AS DATE) AS month,
  e.family,
  e.sub_family,
  e.status,
  e.review_status,
  e.export_status,
  e.settled_at,
  e.employee_id,
  nullif(concat_ws(' ', m.first_name, m.last_name), '') AS employee_name,
  e.team_id,
  t.team_name,
  p.account_id,
  coalesce(p.account_code, a.code) AS account_code,
  coalesce(b.name, a.name) AS account_name,
  p.tax_code_id,
  x.code AS tax_code,
  x.name AS tax_code_name,
  x.rate AS tax_rate,
  coalesce(e.merchant_name, i.supplier_name) AS merchant,
  p.total_bill_value AS amount,
  p.total_bill_value_currency AS currency,
  p.transaction_value AS paid_amount,
  p.transaction_value_currency AS paid_currency,
  e.note
FROM parts AS p
JOIN accounting_entries AS e ON e.id = p.entry_id
LEFT JOIN companies AS c ON c.id = e.company_id
LEFT JOIN employees AS m ON m.id = e.employee_id
LEFT JOIN accounts AS a ON a.id = p.account_id
LEFT JOIN accounts_by_code AS b ON b.company_id = e.company_id AND b.code = p.account_code
LEFT JOIN tax_codes AS x ON x.id = p.tax_code_id
LEFT JOIN exported AS i ON i.accounting_entry_id = e.id AND i.place = 1
LEFT JOIN teams AS t ON t.team_id = e.team_id AND t.place = 1
WHERE e._deleted_at IS NULL
  AND e.family IN ('CARD_PURCHASE', 'OUT_OF_POCKET', 'BILL_INVOICE', 'MILEAGE', 'PER_DIEM')
  AND e.status NOT IN ('DRAFT', 'CANCELLED', 'REJECTED', 'ERROR')
