-- What was spent: one row for each part of a split entry, and one for each entry that is not split. Credit notes are negative and lower it.
-- Left out are entries that do not count (deleted, drafts, cancelled, rejected, failed), what Pleo itself costs (`pleo_costs`) and mere movements
-- of money; `counted_entries` has them all. A family that is not known counts as spend.
--
-- entry_id uuid: Entry key. [counted_entries.entry_id]
-- split_position bigint: Place of the part in its entry, from 1; NULL when the entry is not split. [accounting_entry_splits.position]
-- company_id uuid: Owning company. [counted_entries.company_id]
-- company_name text: Company name. [counted_entries.company_name]
-- performed_at timestamp: When the spend happened. [counted_entries.performed_at]
-- month date: First day of the month in which it happened, UTC. [counted_entries.month]
-- family text: Kind of entry; the comment of accounting_entries.family lists them. [counted_entries.family]
-- sub_family text: Finer kind. [counted_entries.sub_family]
-- status text: Payment state; the comment of accounting_entries.status lists them. [counted_entries.status]
-- review_status text: Approval state; the comment of accounting_entries.review_status lists them. [counted_entries.review_status]
-- export_status text: Bookkeeping export state; the comment of accounting_entries.export_status lists them. [counted_entries.export_status]
-- settled_at timestamp: When funds moved; NULL while unsettled. [counted_entries.settled_at]
-- employee_id uuid: Spender. [counted_entries.employee_id]
-- employee_name text: Name of the spender. [counted_entries.employee_name]
-- team_id uuid: Team the entry is booked to. [counted_entries.team_id]
-- team_name text: Name of the team, where an export job carried it: Pleo serves it nowhere else. [export_items.team_name]
-- account_id uuid: Category that the spender chose; NULL where none was, or 'do not know'. [counted_entries.account_id, accounting_entry_splits.account_id]
-- account_code text: Number of the ledger account, where it is known. [counted_entries.account_code, accounting_entry_splits.account_code, category_names.account_code]
-- account_name text: Name of the category or ledger account, where it is known (`category_names`). [accounts.name, category_names.account_name]
-- tax_code_id uuid: Tax code. [counted_entries.tax_code_id, accounting_entry_splits.tax_code_id]
-- tax_code text: Key of the tax code in the accounting system. [tax_codes.code]
-- tax_code_name text: Display name of the tax code. [tax_codes.name]
-- tax_rate rate: Fraction, so 20 % is 0.20. [tax_codes.rate]
-- merchant text: Where it was spent: as the entry says, else as the newest export item of it does. [counted_entries.merchant, export_items.supplier_name]
-- amount money: Booked amount in company currency, exact; NULL while Pleo gives none. [counted_entries.amount, accounting_entry_splits.total_bill_value]
-- currency text: Company currency, ISO 4217. [counted_entries.currency, accounting_entry_splits.total_bill_value_currency]
-- paid_amount money: Amount in the currency it was paid in, exact. [counted_entries.paid_amount, accounting_entry_splits.transaction_value]
-- paid_currency text: Currency it was paid in, ISO 4217. [counted_entries.paid_currency, accounting_entry_splits.transaction_value_currency]
-- note text: The spender's note. [counted_entries.note]
-- category_state text: named, name unknown (a category was chosen, and nothing says what it is called) or none chosen. [counted_entries.account_id, counted_entries.account_code, accounting_entry_splits.account_id, accounting_entry_splits.account_code, accounts.name, category_names.account_code, category_names.account_name]
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
    e.entry_id, NULL, e.account_id, e.account_code, e.tax_code_id, e.amount, e.currency, e.paid_amount, e.paid_currency
  FROM counted_entries AS e
  LEFT JOIN split_entries AS u ON u.accounting_entry_id = e.entry_id
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
  e.entry_id,
  p.split_position,
  e.company_id,
  e.company_name,
  e.performed_at,
  e.month,
  e.family,
  e.sub_family,
  e.status,
  e.review_status,
  e.export_status,
  e.settled_at,
  e.employee_id,
  e.employee_name,
  e.team_id,
  t.team_name,
  p.account_id,
  coalesce(p.account_code, n.account_code) AS account_code,
  coalesce(b.name, n.account_name) AS account_name,
  p.tax_code_id,
  x.code AS tax_code,
  x.name AS tax_code_name,
  x.rate AS tax_rate,
  coalesce(e.merchant, i.supplier_name) AS merchant,
  p.total_bill_value AS amount,
  p.total_bill_value_currency AS currency,
  p.transaction_value AS paid_amount,
  p.transaction_value_currency AS paid_currency,
  e.note,
  CASE
    WHEN coalesce(p.account_code, b.name, n.account_code, n.account_name) IS NOT NULL THEN 'named'
    WHEN p.account_id IS NOT NULL THEN 'name unknown'
    ELSE 'none chosen'
  END AS category_state
FROM parts AS p
JOIN counted_entries AS e ON e.entry_id = p.entry_id
LEFT JOIN category_names AS n ON n.account_id = p.account_id
LEFT JOIN accounts_by_code AS b ON b.company_id = e.company_id AND b.code = p.account_code
LEFT JOIN tax_codes AS x ON x.id = p.tax_code_id
LEFT JOIN exported AS i ON i.accounting_entry_id = e.entry_id AND i.place = 1
LEFT JOIN teams AS t ON t.team_id = e.team_id AND t.place = 1
WHERE e.kind = 'spend'
