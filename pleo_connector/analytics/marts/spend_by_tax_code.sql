-- Spend by month, company and tax code.
--
-- month date: First day of the month, UTC. [spend.month]
-- company_id uuid: Owning company. [spend.company_id]
-- company_name text: Company name. [spend.company_name]
-- tax_code_id uuid: Tax code; NULL when none was chosen. [spend.tax_code_id]
-- tax_code text: Key of the tax code in the accounting system. [spend.tax_code]
-- tax_code_name text: Display name of the tax code. [spend.tax_code_name]
-- tax_rate rate: Fraction, so 20 % is 0.20. [spend.tax_rate]
-- currency text: Company currency, ISO 4217. [spend.currency]
-- entries bigint: Entries that have a part in it. [spend.entry_id]
-- entries_without_amount bigint: Those of them for which Pleo gives no amount yet; they are in no sum. [spend.amount, spend.entry_id]
-- spend money: Sum of the amounts, exact, in company currency. [spend.amount]
SELECT
  s.month,
  s.company_id,
  s.company_name,
  s.tax_code_id,
  s.tax_code,
  s.tax_code_name,
  s.tax_rate,
  s.currency,
  count(DISTINCT s.entry_id) AS entries,
  count(DISTINCT s.entry_id) FILTER (WHERE s.amount IS NULL) AS entries_without_amount,
  sum(s.amount) AS spend
FROM spend AS s
GROUP BY s.month, s.company_id, s.company_name, s.tax_code_id, s.tax_code, s.tax_code_name, s.tax_rate, s.currency
