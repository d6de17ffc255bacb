-- Spend for which no funds have moved yet. Credit notes move none.
--
-- entry_id uuid: Entry key. [counted_entries.entry_id]
-- company_id uuid: Owning company. [counted_entries.company_id]
-- company_name text: Company name. [counted_entries.company_name]
-- performed_at timestamp: When the spend happened. [counted_entries.performed_at]
-- days_open bigint: Days since then. [counted_entries.days_open]
-- employee_id uuid: Spender. [counted_entries.employee_id]
-- employee_name text: Name of the spender. [counted_entries.employee_name]
-- family text: Kind of entry. [counted_entries.family]
-- status text: Payment state. [counted_entries.status]
-- review_status text: Approval state. [counted_entries.review_status]
-- export_status text: Bookkeeping export state. [counted_entries.export_status]
-- amount money: Booked amount in company currency, exact. [counted_entries.amount]
-- currency text: Company currency, ISO 4217. [counted_entries.currency]
-- note text: The spender's note. [counted_entries.note]
SELECT
  e.entry_id,
  e.company_id,
  e.company_name,
  e.performed_at,
  e.days_open,
  e.employee_id,
  e.employee_name,
  e.family,
  e.status,
  e.review_status,
  e.export_status,
  e.amount,
  e.currency,
  e.note
FROM counted_entries AS e
WHERE e.kind = 'spend'
  AND coalesce(e.family, '') <> 'CREDIT_NOTE'
  AND e.settled_at IS NULL
