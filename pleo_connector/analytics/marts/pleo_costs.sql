-- What Pleo itself costs, one row for each entry: its invoices, fees and interest; cashback lowers it. None of it is in `spend`.
--
-- entry_id uuid: Entry key. [counted_entries.entry_id]
-- company_id uuid: Owning company. [counted_entries.company_id]
-- company_name text: Company name. [counted_entries.company_name]
-- performed_at timestamp: When it was charged. [counted_entries.performed_at]
-- month date: First day of the month in which it was charged, UTC. [counted_entries.month]
-- family text: Kind of entry. [counted_entries.family]
-- sub_family text: Finer kind. [counted_entries.sub_family]
-- status text: Payment state. [counted_entries.status]
-- export_status text: Bookkeeping export state. [counted_entries.export_status]
-- settled_at timestamp: When funds moved; NULL while unsettled. [counted_entries.settled_at]
-- amount money: Booked amount in company currency, exact, with the sign that Pleo serves. [counted_entries.amount]
-- currency text: Company currency, ISO 4217. [counted_entries.currency]
-- note text: The entry's note. [counted_entries.note]
SELECT
  e.entry_id,
  e.company_id,
  e.company_name,
  e.performed_at,
  e.month,
  e.family,
  e.sub_family,
  e.status,
  e.export_status,
  e.settled_at,
  e.amount,
  e.currency,
  e.note
FROM counted_entries AS e
WHERE e.kind = 'cost'
