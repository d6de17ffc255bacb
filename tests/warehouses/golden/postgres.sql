-- create schema
CREATE SCHEMA IF NOT EXISTS "order ""1""";

-- create parent
CREATE TABLE "order ""1"""."bills" (
  "id" UUID NOT NULL,
  "company_id" UUID,
  "note" TEXT,
  "paid" BOOLEAN,
  "amount_minors" BIGINT,
  "amount" NUMERIC(38, 4),
  "rate" NUMERIC(18, 9),
  "performed_at" TIMESTAMPTZ,
  "due_on" DATE,
  "details" JSONB,
  "_synced_at" TIMESTAMPTZ,
  "_deleted_at" TIMESTAMPTZ,
  "_deleted_source" TEXT,
  "_row_hash" TEXT,
  "_sweep_id" TEXT,
  "_extra" JSONB,
  PRIMARY KEY ("id")
);

-- create child
CREATE TABLE "order ""1"""."bill_lines" (
  "bill_id" UUID NOT NULL,
  "position" BIGINT NOT NULL,
  "text" TEXT,
  "_company_id" UUID,
  "_synced_at" TIMESTAMPTZ,
  "_deleted_at" TIMESTAMPTZ,
  "_deleted_source" TEXT,
  "_row_hash" TEXT,
  "_sweep_id" TEXT,
  "_extra" JSONB,
  PRIMARY KEY ("bill_id", "position")
);

-- add column
ALTER TABLE "order ""1"""."bills" ADD COLUMN "note" TEXT;

-- comment on table
COMMENT ON TABLE "order ""1"""."bills" IS 'What was billed; it''s the parent.';

-- comment on column
COMMENT ON COLUMN "order ""1"""."bills"."note" IS 'The spender''s note.';

-- snapshot
SELECT c.relname::text, NULL::text, NULL::text, obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') UNION ALL SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped;

-- served
CREATE OR REPLACE TEMPORARY TABLE "_pleo_served" AS
SELECT s."id", s."_pleo_row", t."id" IS NULL AS is_new,
  t."id" IS NOT NULL AND (t."_row_hash" IS DISTINCT FROM s."_row_hash"
    OR (t."_deleted_at" IS NULL) <> (s."_deleted_at" IS NULL)
    OR t."_deleted_source" IS DISTINCT FROM s."_deleted_source") AS is_changed,
  s."_deleted_at" IS NOT NULL AND t."_deleted_at" IS NULL AS is_deleted
FROM (SELECT r."id" AS "id", r."_pleo_row", r."_row_hash", r."_deleted_at", r."_deleted_source" FROM staged_bills AS r) AS s
LEFT JOIN "order ""1"""."bills" AS t ON t."id" = s."id";

-- count served
SELECT count(*), count(*) FILTER (WHERE "id" IS NULL), count(DISTINCT "id"), count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE is_changed), count(*) FILTER (WHERE is_deleted) FROM "_pleo_served";

-- served children
CREATE OR REPLACE TEMPORARY TABLE "_pleo_served_children" AS
SELECT s.*, p."_pleo_row" IS NULL AS is_orphan, p.is_new OR p.is_changed AS is_due
FROM (SELECT r."bill_id" AS "bill_id", r."position" AS "position", r."_pleo_row" FROM staged_lines AS r) AS s
LEFT JOIN "_pleo_served" AS p ON p."id" = s."bill_id";

-- count served children
SELECT count(*), count(*) FILTER (WHERE "bill_id" IS NULL OR "position" IS NULL), count(DISTINCT ("bill_id", "position")), count(*) FILTER (WHERE is_orphan) FROM "_pleo_served_children";

-- delete changed parents
DELETE FROM "order ""1"""."bills" AS t USING "_pleo_served" AS p WHERE p.is_changed AND t."id" = p."id";

-- delete their children
DELETE FROM "order ""1"""."bill_lines" AS t USING "_pleo_served" AS p WHERE p.is_changed AND t."bill_id" = p."id";

-- parents to write
SELECT "_pleo_row" FROM "_pleo_served" WHERE is_new OR is_changed ORDER BY 1;

-- children to write
SELECT "_pleo_row" FROM "_pleo_served_children" WHERE is_due ORDER BY 1;

-- insert parents
INSERT INTO "order ""1"""."bills" ("id", "company_id", "note", "paid", "amount_minors", "amount", "rate", "performed_at", "due_on", "details", "_synced_at", "_deleted_at", "_deleted_source", "_row_hash", "_sweep_id", "_extra")
SELECT s."id", s."company_id", s."note", s."paid", s."amount_minors", s."amount", s."rate", s."performed_at", s."due_on", s."details", s."_synced_at", s."_deleted_at", s."_deleted_source", s."_row_hash", s."_sweep_id", s."_extra"
FROM staged_bills AS s;

-- insert children
INSERT INTO "order ""1"""."bill_lines" ("bill_id", "position", "text", "_company_id", "_synced_at", "_deleted_at", "_deleted_source", "_row_hash", "_sweep_id", "_extra")
SELECT s."bill_id", s."position", s."text", s."_company_id", s."_synced_at", s."_deleted_at", s."_deleted_source", s."_row_hash", s."_sweep_id", s."_extra"
FROM staged_lines AS s;

-- drop served
DROP TABLE IF EXISTS pg_temp."_pleo_served";

-- upsert state
DELETE FROM "order ""1"""."_cursors" AS t USING staged_cursors AS s WHERE t."stream" = s."stream" AND t."window" = s."window";

-- count absent
-- $1: bills
-- $2: sweep-1
-- $3: sweep-2
-- $4: c0000000-0000-4000-8000-000000000001
-- $5: 2026-01-31 23:59:59.999999+00:00
-- $6: 2026-02-01 08:30:00+00:00
SELECT count(*), count(*) FILTER (WHERE k."key" IS NULL)
FROM "order ""1"""."bills" AS t
LEFT JOIN (SELECT DISTINCT "key" FROM "order ""1"""."_seen_keys"
  WHERE "stream" = $1 AND "sweep_id" IN ($2, $3)) AS k ON k."key" = t."id"
WHERE t."_deleted_at" IS NULL AND t."company_id" = CAST($4 AS UUID) AND t."performed_at" >= CAST($5 AS TIMESTAMPTZ) AND t."performed_at" < CAST($6 AS TIMESTAMPTZ);

-- select absent
-- $1: bills
-- $2: sweep-1
CREATE TEMPORARY TABLE "_pleo_absent" AS
SELECT t."id" AS "key"
FROM "order ""1"""."bills" AS t
LEFT JOIN (SELECT DISTINCT "key" FROM "order ""1"""."_seen_keys"
  WHERE "stream" = $1 AND "sweep_id" IN ($2)) AS k ON k."key" = t."id"
WHERE t."_deleted_at" IS NULL
  AND k."key" IS NULL;

-- count selected
SELECT count(*) FROM "_pleo_absent";

-- tombstone parents
-- $1: 2026-03-01 00:00:00+00:00
UPDATE "order ""1"""."bills" SET "_deleted_at" = CAST($1 AS TIMESTAMPTZ), "_deleted_source" = 'sweep_absent', "_synced_at" = CAST($1 AS TIMESTAMPTZ)
WHERE "_deleted_at" IS NULL AND "id" IN (SELECT "key" FROM "_pleo_absent");

-- tombstone children
-- $1: 2026-03-01 00:00:00+00:00
UPDATE "order ""1"""."bill_lines" SET "_deleted_at" = CAST($1 AS TIMESTAMPTZ), "_deleted_source" = 'sweep_absent', "_synced_at" = CAST($1 AS TIMESTAMPTZ)
WHERE "_deleted_at" IS NULL AND "bill_id" IN (SELECT "key" FROM "_pleo_absent");

-- drop absent
DROP TABLE IF EXISTS pg_temp."_pleo_absent";

-- read
-- $1: c0000000-0000-4000-8000-000000000001
-- $2: 2026-01-31 23:59:59.999999+00:00
SELECT "id", "note" FROM "order ""1"""."bills" WHERE ("company_id" IN (CAST($1 AS UUID))) AND ("note" IS NULL) AND ("performed_at" IN (CAST($2 AS TIMESTAMPTZ)));

-- delete
-- $1: bills
DELETE FROM "order ""1"""."_cursors" WHERE ("stream" IN (CAST($1 AS TEXT)));

-- count live rows
SELECT count(*) FROM "order ""1"""."bills" WHERE "_deleted_at" IS NULL;

-- count all rows
SELECT count(*) FROM "order ""1"""."_cursors";

-- stage keys
CREATE TEMPORARY TABLE "_pleo_staged" ("id" UUID, "_pleo_row" BIGINT) ON COMMIT DROP;

-- what is stored beside them
SELECT s."_pleo_row", t."_row_hash", t."_deleted_at" IS NOT NULL AS is_deleted, t."_deleted_source"
FROM pg_temp."_pleo_staged" AS s JOIN "order ""1"""."bills" AS t
  ON t."id" = s."id";

-- drop staged
DROP TABLE IF EXISTS pg_temp."_pleo_staged";
