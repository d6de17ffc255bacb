-- The tags of each row of `spend`: those of the part where it has its own, else those of its entry.
--
-- entry_id uuid: Entry key. [spend.entry_id]
-- split_position bigint: Place of the part in its entry; NULL when the entry is not split. [spend.split_position]
-- tag_group_id uuid: Tag group the choice was made in. [accounting_entry_tags.tag_group_id, accounting_entry_split_tags.tag_group_id]
-- tag_group text: Name of the tag group. [tag_groups.name]
-- tag_id uuid: Chosen tag; NULL when the spender did not know. [accounting_entry_tags.tag_id, accounting_entry_split_tags.tag_id]
-- tag_code text: Key of the tag in the accounting system. [tags.code]
-- tag text: Name of the tag. [tags.name]
WITH own AS (
  SELECT accounting_entry_id, split_position, tag_group_id, tag_id
  FROM accounting_entry_split_tags
  WHERE _deleted_at IS NULL
),
chosen AS (
  SELECT s.entry_id, s.split_position, o.tag_group_id, o.tag_id
  FROM spend AS s
  JOIN own AS o ON o.accounting_entry_id = s.entry_id AND o.split_position = s.split_position
  UNION
  SELECT s.entry_id, s.split_position, e.tag_group_id, e.tag_id
  FROM spend AS s
  JOIN accounting_entry_tags AS e ON e.accounting_entry_id = s.entry_id AND e._deleted_at IS NULL
  LEFT JOIN (SELECT DISTINCT accounting_entry_id, split_position FROM own) AS o
    ON o.accounting_entry_id = s.entry_id AND o.split_position = s.split_position
  WHERE o.accounting_entry_id IS NULL
)
SELECT
  c.entry_id,
  c.split_position,
  c.tag_group_id,
  g.name AS tag_group,
  c.tag_id,
  t.code AS tag_code,
  t.name AS tag
FROM chosen AS c
LEFT JOIN tag_groups AS g ON g.id = c.tag_group_id
LEFT JOIN tags AS t ON t.id = c.tag_id
