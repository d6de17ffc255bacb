-- Spend by month, company and merchant; NULL where neither the entry nor an export item of it names one.
--
-- month date: First day of the month, UTC. [spend.month]
-- company_id uuid: Owning company. [spend.company_id]
-- company_name text: Company name. [spend.company_name]
-- merchant text: Where it was spent. [spend.merchant]
-- currency text: Company currency, ISO 4217. [spend.currency]
-- entries bigint: Entries that have a part in it. [spend.entry_id]
-- entries_without_amount bigint: Those of them for which Pleo gives no amount yet; they are in no sum. [spend.amount, spend.entry_id]
-- spend money: Sum of the amounts, exact, in company currency. [spend.amount]
SELECT
  s.month,
  s.company_id,
  s.company_name,
  s.merchant,
  s.currency,
  count(DISTINCT s.entry_id) AS entries,
  count(DISTINCT s.entry_id) FILTER (WHERE s.amount IS NULL) AS entries_without_amount,
  sum(s.amount) AS spend
FROM spend AS s
GROUP BY s.month, s.company_id, s.company_name, s.merchant, s.currency
