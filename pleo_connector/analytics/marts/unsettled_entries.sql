-- Spend for which no funds have moved yet.
--
-- entry_id uuid: Entry key. [accounting_entries.id]
-- company_id uuid: Owning company. [accounting_entries.company_id]
-- company_name text: Company name. [companies.name]
-- performed_at timestamp: When the spend happened. [accounting_entries.performed_at]
-- days_open bigint: Days since then. [accounting_entries.performed_at]
-- employee_id uuid: Spender. [accounting_entries.employee_id]
-- employee_name text: Name of the spender. [employees.first_name, employees.last_name]
-- family text: Kind of entry. [accounting_entries.family]
-- status text: Payment state. [accounting_entries.status]
-- review_status text: Approval state. [accounting_entries.review_status]
-- export_status text: Bookkeeping export state. [accounting_entries.export_status]
-- amount money: Booked amount in company currency, exact. [accounting_entries.total_bill_value]
-- currency text: Company currency, ISO 4217. [accounting_entries.total_bill_value_currency]
-- note text: The spender's note. [accounting_entries.note]
SELECT
  e.id AS entry_id,
  e.company_id,
  c.name AS company_name,
  e.performed_at,
  CAST(current_date - CAST(e.performed_at AT TIME ZONE 'UTC' AS DATE) AS BIGINT) AS days_open,
  e.employee_id,
  nullif(concat_ws(' ', m.first_name, m.last_name), '') AS employee_name,
  e.family,
  e.status,
  e.review_status,
  e.export_status,
  e.total_bill_value AS amount,
  e.total_bill_value_currency AS currency,
  e.note
FROM accounting_entries AS e
LEFT JOIN companies AS c ON c.id = e.company_id
LEFT JOIN employees AS m ON m.id = e.employee_id
WHERE e._deleted_at IS NULL
  AND e.family IN ('CARD_PURCHASE', 'OUT_OF_POCKET', 'BILL_INVOICE', 'MILEAGE', 'PER_DIEM')
  AND e.status NOT IN ('DRAFT', 'CANCELLED', 'REJECTED', 'ERROR')
  AND e.settled_at IS NULL
