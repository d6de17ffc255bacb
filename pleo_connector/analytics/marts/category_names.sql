-- Names of categories, one row for each that has one: that of the chart of accounts, else of the account that export items show with the
-- category, else of the file that PLEO_CATEGORIES names. Entries often name a category (`account_id`) that stands in no list of Pleo's.
--
-- account_id uuid: Category, as entries and splits name it. [accounting_entries.account_id, accounting_entry_splits.account_id, accounts.id, _categories.id]
-- account_code text: Number of the ledger account. [accounts.code, export_item_lines.account_code, _categories.code, accounts.id, accounting_entries.account_id, accounting_entry_splits.account_id]
-- account_name text: Name of the category, or of the ledger account that it is booked to. [accounts.name, export_item_lines.account_name, _categories.name, accounts.id, accounting_entries.account_id, accounting_entry_splits.account_id]
-- named_by text: Where the name comes from: chart of accounts, export items or file. [accounts.id, accounting_entries.account_id, accounting_entry_splits.account_id]
WITH live_splits AS (
  SELECT id, accounting_entry_id, account_id, account_code
  FROM accounting_entry_splits
  WHERE _deleted_at IS NULL
),
one_account AS (
  -- An item whose lines name several accounts does not say which of them is the category's.
  SELECT export_item_id, min(account_code) AS code, min(account_name) AS name
  FROM export_item_lines
  WHERE _deleted_at IS NULL
  GROUP BY export_item_id
  HAVING count(coalesce(account_code, account_name)) = count(*)
    AND count(DISTINCT coalesce(account_code, '')) = 1
    AND count(DISTINCT coalesce(account_name, '')) = 1
),
shown AS (
  -- An account code of the entry's or split's own outranks its category, so such a line says nothing of the category.
  SELECT e.account_id, o.code, o.name, i.export_job_id, i.booked_at, i._synced_at
  FROM accounting_entries AS e
  JOIN export_items AS i ON i.accounting_entry_id = e.id
  JOIN one_account AS o ON o.export_item_id = i.id
  WHERE e.account_id IS NOT NULL
    AND e.account_code IS NULL
    AND NOT EXISTS (SELECT 1 FROM live_splits AS s WHERE s.accounting_entry_id = e.id)
  UNION ALL
  SELECT s.account_id, l.account_code, l.account_name, i.export_job_id, i.booked_at, i._synced_at
  FROM live_splits AS s
  JOIN export_item_lines AS l ON l.accounting_entry_line_id = s.id AND l._deleted_at IS NULL
  JOIN export_items AS i ON i.id = l.export_item_id
  WHERE s.account_id IS NOT NULL
    AND s.account_code IS NULL
    AND coalesce(l.account_code, l.account_name) IS NOT NULL
),
ranked AS (
  -- The newest export job wins, in it the account of most lines, and of several the newest entry's.
  SELECT
    s.account_id, s.code, s.name,
    row_number() OVER (
      PARTITION BY s.account_id
      ORDER BY
        max(coalesce(j.created_at, s._synced_at)) DESC NULLS LAST, s.export_job_id,
        count(*) DESC, max(s.booked_at) DESC NULLS LAST, s.code, s.name
    ) AS place
  FROM shown AS s
  LEFT JOIN export_jobs AS j ON j.id = s.export_job_id
  GROUP BY s.account_id, s.code, s.name, s.export_job_id
),
learned AS (
  SELECT account_id, code, name
  FROM ranked
  WHERE place = 1
),
named AS (
  SELECT id FROM accounts
  UNION
  SELECT account_id FROM learned
  UNION
  SELECT id FROM _categories
)
SELECT
  n.id AS account_id,
  CASE WHEN a.id IS NOT NULL THEN a.code WHEN l.account_id IS NOT NULL THEN l.code ELSE f.code END AS account_code,
  CASE WHEN a.id IS NOT NULL THEN a.name WHEN l.account_id IS NOT NULL THEN l.name ELSE f.name END AS account_name,
  CASE WHEN a.id IS NOT NULL THEN 'chart of accounts' WHEN l.account_id IS NOT NULL THEN 'export items' ELSE 'file' END AS named_by
FROM named AS n
LEFT JOIN accounts AS a ON a.id = n.id
LEFT JOIN learned AS l ON l.account_id = n.id
LEFT JOIN _categories AS f ON f.id = n.id
