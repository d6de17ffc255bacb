-- Spend by month, company and tag. Spend with several tags counts under each of them: sum within one tag group.
--
-- month date: First day of the month, UTC. [spend.month]
-- company_id uuid: Owning company. [spend.company_id]
-- company_name text: Company name. [spend.company_name]
-- tag_group text: Name of the tag group. [spend_tags.tag_group]
-- tag_id uuid: Tag; NULL when the spender did not know. [spend_tags.tag_id]
-- tag text: Name of the tag. [spend_tags.tag]
-- currency text: Company currency, ISO 4217. [spend.currency]
-- entries bigint: Entries that have a part in it. [spend.entry_id]
-- entries_without_amount bigint: Those of them for which Pleo gives no amount yet; they are in no sum. [spend.amount, spend.entry_id]
-- spend money: Sum of the amounts, exact, in company currency. [spend.amount]
SELECT
  s.month,
  s.company_id,
  s.company_name,
  t.tag_group,
  t.tag_id,
  t.tag,
  s.currency,
  count(DISTINCT s.entry_id) AS entries,
  count(DISTINCT s.entry_id) FILTER (WHERE s.amount IS NULL) AS entries_without_amount,
  sum(s.amount) AS spend
FROM spend AS s
JOIN spend_tags AS t ON t.entry_id = s.entry_id AND t.split_position IS NOT DISTINCT FROM s.split_position
GROUP BY s.month, s.company_id, s.company_name, t.tag_group, t.tag_id, t.tag, s.currency
