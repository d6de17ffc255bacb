-- Spend by month, company and category (ledger account). Categories without a known name are rows of their own, each by its key, and apart from
-- spend for which none was chosen.
--
-- month date: First day of the month, UTC. [spend.month]
-- company_id uuid: Owning company. [spend.company_id]
-- company_name text: Company name. [spend.company_name]
-- account_code text: Number of the ledger account, where it is known. [spend.account_code]
-- account_name text: Name of the category or ledger account; NULL when it is not known or none was chosen: category_state says which. [spend.account_name]
-- currency text: Company currency, ISO 4217. [spend.currency]
-- entries bigint: Entries that have a part in it. [spend.entry_id]
-- entries_without_amount bigint: Those of them for which Pleo gives no amount yet; they are in no sum. [spend.amount, spend.entry_id]
-- spend money: Sum of the amounts, exact, in company currency. [spend.amount]
-- category_state text: named, name unknown or none chosen. [spend.category_state]
-- account_id uuid: The category, where its name is not known; NULL in other rows, as several may share a name. [spend.account_id, spend.category_state]
SELECT
  s.month,
  s.company_id,
  s.company_name,
  s.account_code,
  s.account_name,
  s.currency,
  count(DISTINCT s.entry_id) AS entries,
  count(DISTINCT s.entry_id) FILTER (WHERE s.amount IS NULL) AS entries_without_amount,
  sum(s.amount) AS spend,
  s.category_state,
  CASE WHEN s.category_state = 'name unknown' THEN s.account_id END AS account_id
FROM spend AS s
GROUP BY
  s.month, s.company_id, s.company_name, s.account_code, s.account_name, s.currency, s.category_state,
  CASE WHEN s.category_state = 'name unknown' THEN s.account_id END
