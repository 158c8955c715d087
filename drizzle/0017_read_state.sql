-- What every event changes of a user, the state and its place, stands apart from what users are found by: an event that changes none of
-- that no longer writes into all of its indexes. What is only shown is shown from the state.

CREATE TABLE "user_read_state" (
	"bucket" smallint NOT NULL,
	"userId" uuid NOT NULL,
	"tenantId" uuid NOT NULL,
	"changedAt" timestamp (3) with time zone NOT NULL,
	"lastUpdatedVersion" integer NOT NULL,
	"lastPosition" bigint NOT NULL,
	"status" text NOT NULL,
	"lockedUntil" timestamp (3) with time zone,
	"state" json NOT NULL,
	CONSTRAINT "user_read_state_pkey" PRIMARY KEY("bucket","userId")
);
--> statement-breakpoint

-- A rebuild that is under way fills tables of the old shape. It begins anew where the service starts it by itself, or is asked for again.
DROP TABLE IF EXISTS user_read_model_next;
--> statement-breakpoint

UPDATE projections SET "rebuildVersion" = NULL, "rebuildRevision" = NULL, "rebuildStage" = NULL, "rebuildStartedAt" = NULL WHERE name = 'users';
--> statement-breakpoint

INSERT INTO user_read_state (bucket, "userId", "tenantId", "changedAt", "lastUpdatedVersion", "lastPosition", status, "lockedUntil", state)
SELECT bucket, "userId", "tenantId", coalesce("updatedAt", "createdAt"), "lastUpdatedVersion", "lastPosition", status, "lockedUntil",
  state::text::json
FROM user_read_model;
--> statement-breakpoint

CREATE INDEX "IDX_READ_STATE_CHANGED" ON "user_read_state" USING btree ("tenantId","changedAt","userId");--> statement-breakpoint
DROP INDEX "IDX_READ_MODEL_UPDATED";--> statement-breakpoint
DROP FUNCTION users_of_tenants();--> statement-breakpoint
DROP TYPE user_of_tenants;--> statement-breakpoint
ALTER TABLE "user_read_model"
  DROP COLUMN "phone", DROP COLUMN "totalLogins", DROP COLUMN "failedLoginAttempts", DROP COLUMN "lastLoginAt", DROP COLUMN "attributes",
  DROP COLUMN "updatedAt", DROP COLUMN "lastUpdatedVersion", DROP COLUMN "lastPosition", DROP COLUMN "state";
--> statement-breakpoint

-- users_of_tenants: the users as the acting tenants may see them. The tables themselves are not behind row-level security, under which
-- no condition could use an index that might tell of other rows, and LIKE and @> might. This function becomes part of the
-- statement that reads it, and its condition one among others; who does not ask when users were changed does not pay for it. Its rows are of a
-- type of their own, since those of the tables go when a rebuild replaces them, and have the columns to the last digit, or their order
-- would not be that of the indexes.
CREATE TYPE user_of_tenants AS (
  bucket smallint, "userId" uuid, "tenantId" uuid, username text, email text, "fullName" text, status text, "roleIds" text[],
  "lockedUntil" timestamptz(3), "createdAt" timestamptz(3), "deletedAt" timestamptz(3), search text, "changedAt" timestamptz(3), "stateStatus" text,
  "stateLockedUntil" timestamptz(3));
--> statement-breakpoint

CREATE FUNCTION users_of_tenants()
RETURNS SETOF user_of_tenants
LANGUAGE sql STABLE
AS $$
  SELECT u.bucket, u."userId", u."tenantId", u.username, u.email, u."fullName", u.status, u."roleIds", u."lockedUntil", u."createdAt",
    u."deletedAt", u.search, s."changedAt", s.status, s."lockedUntil"
  FROM user_read_model u
  LEFT JOIN user_read_state s ON s.bucket = u.bucket AND s."userId" = u."userId" AND s."tenantId" = u."tenantId"
  WHERE (u."tenantId" = ANY ((SELECT seen_tenants())::uuid[])) IS NOT FALSE
$$;
--> statement-breakpoint

DROP FUNCTION project_events(varchar, integer, smallint, varchar, bigint, bigint, bigint, json, jsonb, uuid[]);
--> statement-breakpoint

-- project_events: as in 0007, but rows come apart by table: to take them out of one JSON text took a quarter of the time of storing them.
-- It stores what a projection makes of the events after p_from up to p_to, and moves its position there, all or
-- none. So every event is applied exactly once.
--
-- Keeps true: only the holder of p_epoch writes, from the position it has read, and only under the version of the projection
-- that the tables are for: an older instance does no harm to the tables of a newer one. While a rebuild is closing in, and
-- somebody leads it, the tables it replaces stand still. Returns whether it did; if not, nothing is changed.
--
-- p_worker    the worker whose lease and position it is: projection/<name>, or projection/<name>/rebuild
-- p_parked    [{ user, tenant, position, version, error }]: users whose events could not be applied from this one on, or again not
-- p_released  users who are parked no more: their events up to p_to are among those applied
-- p_tables    tables of the projection
-- p_rows      of each of them [row as it shall be], by the names of the columns
CREATE FUNCTION project_events(
  p_name varchar, p_version integer, p_bucket smallint, p_worker varchar, p_epoch bigint, p_from bigint, p_to bigint,
  p_parked jsonb, p_released uuid[], p_tables text[], VARIADIC p_rows json[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_rebuilds boolean := p_worker = 'projection/' || p_name || '/rebuild';
  v_table text;
  v_rows json;
BEGIN
  -- The rebuild that closes in waits here for the writer, or the writer finds what the rebuild did.
  PERFORM FROM workers w
  WHERE w.bucket = p_bucket AND w.name = p_worker AND w.epoch = p_epoch AND w.position = p_from FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM FROM projections p
  WHERE p.bucket = 0 AND p.name = p_name
    AND CASE WHEN v_rebuilds THEN p."rebuildVersion" = p_version
             ELSE p.version = p_version AND (p."rebuildStage" IS DISTINCT FROM 'closing' OR NOT EXISTS (
               SELECT FROM workers w WHERE w.bucket = 0 AND w.name = 'projection/' || p_name || '/rebuild' AND w."leaseUntil" > clock_timestamp())) END
  FOR SHARE;
  IF NOT FOUND THEN RETURN false; END IF;

  FOR v_table, v_rows IN SELECT * FROM unnest(p_tables, p_rows) LOOP
    EXECUTE upsert_rows_sql(CASE WHEN v_rebuilds THEN v_table || '_next' ELSE v_table END) USING v_rows;
  END LOOP;

  INSERT INTO projection_parked (bucket, worker, "aggregateId", "tenantId", position, version, error)
  SELECT p_bucket, p_worker, p."user", p.tenant, p.position, p.version, p.error
  FROM jsonb_to_recordset(p_parked) AS p("user" uuid, tenant uuid, position bigint, version integer, error text)
  ON CONFLICT (bucket, worker, "aggregateId") DO UPDATE SET error = excluded.error, "triedAt" = excluded."triedAt";
  DELETE FROM projection_parked p WHERE p.bucket = p_bucket AND p.worker = p_worker AND p."aggregateId" = ANY (p_released);

  UPDATE workers w SET position = p_to WHERE w.bucket = p_bucket AND w.name = p_worker;
  RETURN true;
END
$$;
