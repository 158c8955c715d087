CREATE TABLE "projections" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"name" varchar(100) NOT NULL,
	"version" integer NOT NULL,
	"typesRevision" bigint NOT NULL,
	"filledAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	"rebuildVersion" integer,
	"rebuildRevision" bigint,
	"rebuildStage" varchar(10),
	"rebuildStartedAt" timestamp (3) with time zone,
	CONSTRAINT "projections_pkey" PRIMARY KEY("bucket","name"),
	CONSTRAINT "projections_stage_check" CHECK ("projections"."rebuildStage" IN ('filling', 'indexing', 'closing'))
);
--> statement-breakpoint
CREATE TABLE "projection_parked" (
	"bucket" smallint NOT NULL,
	"worker" varchar(100) NOT NULL,
	"aggregateId" uuid NOT NULL,
	"tenantId" uuid NOT NULL,
	"position" bigint NOT NULL,
	"version" integer NOT NULL,
	"error" text NOT NULL,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	"triedAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "projection_parked_pkey" PRIMARY KEY("bucket","worker","aggregateId")
);
--> statement-breakpoint
CREATE TABLE "user_read_model" (
	"bucket" smallint NOT NULL,
	"userId" uuid NOT NULL,
	"tenantId" uuid NOT NULL,
	"username" text NOT NULL,
	"email" text NOT NULL,
	"fullName" text,
	"phone" text,
	"status" text NOT NULL,
	"roleIds" text[] NOT NULL,
	"totalLogins" bigint NOT NULL,
	"failedLoginAttempts" bigint NOT NULL,
	"lockedUntil" timestamp (3) with time zone,
	"lastLoginAt" timestamp (3) with time zone,
	"attributes" jsonb GENERATED ALWAYS AS ("state" -> 'attributes') STORED,
	"createdAt" timestamp (3) with time zone NOT NULL,
	"updatedAt" timestamp (3) with time zone,
	"deletedAt" timestamp (3) with time zone,
	"lastUpdatedVersion" integer NOT NULL,
	"lastPosition" bigint NOT NULL,
	"state" jsonb NOT NULL,
	"search" text GENERATED ALWAYS AS (lower("username" || ' ' || "email" || ' ' || coalesce("fullName", ''))) STORED,
	CONSTRAINT "user_read_model_pkey" PRIMARY KEY("bucket","userId")
);
--> statement-breakpoint
CREATE TABLE "user_activity_events" (
	"bucket" smallint NOT NULL,
	"tenantId" uuid NOT NULL,
	"day" date NOT NULL,
	"eventType" varchar(100) NOT NULL,
	"events" bigint NOT NULL,
	CONSTRAINT "user_activity_events_pkey" PRIMARY KEY("bucket","tenantId","day","eventType")
);
--> statement-breakpoint
CREATE TABLE "user_activity_days" (
	"bucket" smallint NOT NULL,
	"tenantId" uuid NOT NULL,
	"day" date NOT NULL,
	"active" bigint NOT NULL,
	"inactive" bigint NOT NULL,
	"suspended" bigint NOT NULL,
	"deleted" bigint NOT NULL,
	"locked" bigint NOT NULL,
	CONSTRAINT "user_activity_days_pkey" PRIMARY KEY("bucket","tenantId","day")
);
--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_USERNAME" ON "user_read_model" USING btree ("tenantId",(lower("username") COLLATE "C"),"userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_EMAIL" ON "user_read_model" USING btree ("tenantId",(lower("email") COLLATE "C"),"userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_FULL_NAME" ON "user_read_model" USING btree ("tenantId",(lower("fullName") COLLATE "C"),"userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_CREATED" ON "user_read_model" USING btree ("tenantId","createdAt","userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_UPDATED" ON "user_read_model" USING btree ("tenantId",(coalesce("updatedAt","createdAt")),"userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_STATUS" ON "user_read_model" USING btree ("tenantId","status","createdAt","userId");--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_LOCKED" ON "user_read_model" USING btree ("tenantId","lockedUntil") WHERE "lockedUntil" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "IDX_READ_MODEL_ROLES" ON "user_read_model" USING gin ("roleIds");
--> statement-breakpoint

-- Words are found anywhere in a name where the extension can be had; else by their beginning.
DO $$
BEGIN
  CREATE EXTENSION IF NOT EXISTS pg_trgm;
  CREATE INDEX "IDX_READ_MODEL_SEARCH" ON "user_read_model" USING gin ("search" gin_trgm_ops);
EXCEPTION WHEN insufficient_privilege OR undefined_file OR feature_not_supported OR invalid_schema_name OR undefined_object THEN NULL;
END
$$;
--> statement-breakpoint

-- Every table of a projection may have two more of its shape: <table>_next, which a rebuild fills, and <table>_old, which
-- the last rebuild replaced. Their indexes are named likewise.

-- project_events: stores what a projection makes of the events after p_from up to p_to, and moves its position there, all or
-- none. So every event is applied exactly once.
--
-- Keeps true: only the holder of p_epoch writes, from the position it has read, and only under the version of the projection
-- that the tables are for: an older instance does no harm to the tables of a newer one. While a rebuild is closing in, and
-- somebody leads it, the tables it replaces stand still. Returns whether it did; if not, nothing is changed.
--
-- p_worker    the worker whose lease and position it is: projection/<name>, or projection/<name>/rebuild
-- p_rows      { table: [row as it shall be] }, by the names of the columns
-- p_parked    [{ user, tenant, position, version, error }]: users whose events could not be applied from this one on, or again not
-- p_released  users who are parked no more: their events up to p_to are among those applied
CREATE FUNCTION project_events(
  p_name varchar, p_version integer, p_bucket smallint, p_worker varchar, p_epoch bigint, p_from bigint, p_to bigint,
  p_rows json, p_parked jsonb, p_released uuid[])
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

  FOR v_table, v_rows IN SELECT * FROM json_each(p_rows) LOOP
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
--> statement-breakpoint

-- upsert_rows_sql: the statement that stores rows ($1, a JSON array of objects) in a table under its primary key.
CREATE FUNCTION upsert_rows_sql(p_table text)
RETURNS text
LANGUAGE sql STABLE
AS $$
  SELECT format('INSERT INTO %1$I (%2$s) SELECT %2$s FROM json_populate_recordset(NULL::%1$I, $1) ON CONFLICT (%3$s) DO UPDATE SET %4$s',
    p_table,
    string_agg(quote_ident(a.attname), ', '),
    string_agg(quote_ident(a.attname), ', ') FILTER (WHERE a.attnum = ANY (k.indkey)),
    string_agg(format('%1$I = excluded.%1$I', a.attname), ', ') FILTER (WHERE a.attnum <> ALL (k.indkey)))
  FROM pg_index k JOIN pg_attribute a ON a.attrelid = k.indrelid
  WHERE k.indrelid = to_regclass(quote_ident(p_table)) AND k.indisprimary
    AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = ''
$$;
--> statement-breakpoint

-- start_rebuild: begins to fill a projection's tables anew, beside those that serve. One by older code or under older types that
-- is under way is begun again, now by these.
--
-- p_version, p_revision   of the projection's code, and of the registered event types it knows
-- Returns 'started'; 'running' when such a rebuild is under way already, or 'newer' when what serves or is being filled is of a
-- newer version. Nothing is changed then.
CREATE FUNCTION start_rebuild(p_name varchar, p_version integer, p_revision bigint, p_tables text[])
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_next text := 'projection/' || p_name || '/rebuild';
  v_found projections;
  v_table text;
  v_key text;
BEGIN
  INSERT INTO projections (name, version, "typesRevision") VALUES (p_name, 0, 0) ON CONFLICT DO NOTHING;
  -- Workers before projections: the order in which project_events takes them.
  PERFORM FROM workers w WHERE w.name = v_next ORDER BY w.bucket FOR UPDATE;
  SELECT * INTO v_found FROM projections p WHERE p.bucket = 0 AND p.name = p_name FOR UPDATE;
  IF greatest(v_found.version, v_found."rebuildVersion") > p_version THEN RETURN 'newer'; END IF;
  IF v_found."rebuildVersion" = p_version AND v_found."rebuildRevision" >= p_revision THEN RETURN 'running'; END IF;

  UPDATE projections p
  SET "rebuildVersion" = p_version, "rebuildRevision" = p_revision, "rebuildStage" = 'filling', "rebuildStartedAt" = clock_timestamp()
  WHERE p.bucket = 0 AND p.name = p_name;
  -- The epoch goes up: whoever filled the tables before can do so no more.
  UPDATE workers w SET position = 0, epoch = w.epoch + 1 WHERE w.name = v_next;
  DELETE FROM projection_parked p WHERE p.worker = v_next;
  FOREACH v_table IN ARRAY p_tables LOOP
    SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY array_position(k.indkey::smallint[], a.attnum)) INTO v_key
    FROM pg_index k JOIN pg_attribute a ON a.attrelid = k.indrelid AND a.attnum = ANY (k.indkey)
    WHERE k.indrelid = to_regclass(quote_ident(v_table)) AND k.indisprimary;
    EXECUTE format('DROP TABLE IF EXISTS %I', v_table || '_next');
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS INCLUDING GENERATED)', v_table || '_next', v_table);
    EXECUTE format('ALTER TABLE %I ADD CONSTRAINT %I PRIMARY KEY (%s)', v_table || '_next', v_table || '_pkey_next', v_key);
  END LOOP;
  RETURN 'started';
END
$$;
--> statement-breakpoint

-- missing_rebuild_indexes: the statements that make the indexes which a table that serves has and the one being filled lacks.
-- They are made after the filling, each at once: to keep them while rows come one by one takes many times as long.
CREATE FUNCTION missing_rebuild_indexes(p_tables text[])
RETURNS TABLE (sql text)
LANGUAGE sql STABLE
AS $$
  SELECT replace(replace(pg_get_indexdef(i.indexrelid), 'INDEX ' || quote_ident(c.relname), 'INDEX IF NOT EXISTS ' || quote_ident(c.relname || '_next')),
    format(' ON %I.%I ', n.nspname, t.name), format(' ON %I ', t.name || '_next'))
  FROM unnest(p_tables) AS t(name)
  JOIN pg_index i ON i.indrelid = to_regclass(quote_ident(t.name)) AND NOT i.indisprimary
  JOIN pg_class c ON c.oid = i.indexrelid
  JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE to_regclass(quote_ident(c.relname || '_next')) IS NULL
$$;
--> statement-breakpoint

-- swap_projection: lets the tables that a rebuild filled serve, and keeps the ones they replace as <table>_old. What the rebuild
-- before replaced must have been dropped.
--
-- Does so only when the rebuild has come as far as those that serve, so that no answer goes back in time. It waits for
-- running queries at most p_wait_ms in all and fails with lock_not_available then: whoever asks meanwhile waits behind it.
-- Returns whether it did.
CREATE FUNCTION swap_projection(p_name varchar, p_version integer, p_epoch bigint, p_tables text[], p_wait_ms integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_live text := 'projection/' || p_name;
  v_next text := 'projection/' || p_name || '/rebuild';
  v_until timestamptz;
  v_table text;
  v_index record;
BEGIN
  PERFORM FROM workers w WHERE w.name IN (v_live, v_next) ORDER BY w.bucket, w.name FOR UPDATE;
  PERFORM FROM workers w WHERE w.bucket = 0 AND w.name = v_next AND w.epoch = p_epoch;
  IF NOT FOUND THEN RETURN false; END IF;
  PERFORM FROM workers l LEFT JOIN workers n ON n.bucket = l.bucket AND n.name = v_next
  WHERE l.name = v_live AND coalesce(n.position, 0) < l.position;
  IF FOUND THEN RETURN false; END IF;
  UPDATE projections p
  SET version = "rebuildVersion", "typesRevision" = "rebuildRevision", "filledAt" = clock_timestamp(),
      "rebuildVersion" = NULL, "rebuildRevision" = NULL, "rebuildStage" = NULL, "rebuildStartedAt" = NULL
  WHERE p.bucket = 0 AND p.name = p_name AND p."rebuildVersion" = p_version AND p."rebuildStage" = 'closing';
  IF NOT FOUND THEN RETURN false; END IF;

  -- The epoch goes up: whoever projected into the old tables starts again from the new position. Where nobody has yet, those
  -- who come must not begin at 0.
  INSERT INTO workers AS l (bucket, name, holder, epoch, position, "leaseUntil")
  SELECT n.bucket, v_live, n.holder, 1, n.position, '-infinity' FROM workers n WHERE n.name = v_next
  ON CONFLICT (bucket, name) DO UPDATE SET position = excluded.position, epoch = l.epoch + 1;
  DELETE FROM projection_parked p WHERE p.worker = v_live;
  UPDATE projection_parked p SET worker = v_live WHERE p.worker = v_next;
  FOREACH v_table IN ARRAY p_tables LOOP
    -- Readers do not wait for names of indexes.
    FOR v_index IN
      SELECT c.relname AS name FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
      WHERE i.indrelid = to_regclass(quote_ident(v_table))
    LOOP
      EXECUTE format('ALTER INDEX %I RENAME TO %I', v_index.name, v_index.name || '_old');
      EXECUTE format('ALTER INDEX %I RENAME TO %I', v_index.name || '_next', v_index.name);
    END LOOP;
  END LOOP;

  -- From the first of these locks on readers wait.
  v_until := clock_timestamp() + p_wait_ms * interval '1 millisecond';
  FOREACH v_table IN ARRAY p_tables LOOP
    PERFORM set_config('lock_timeout', greatest(1, ceil(extract(epoch FROM v_until - clock_timestamp()) * 1000)) || 'ms', true);
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', v_table);
  END LOOP;
  FOREACH v_table IN ARRAY p_tables LOOP
    EXECUTE format('ALTER TABLE %I RENAME TO %I', v_table, v_table || '_old');
    EXECUTE format('ALTER TABLE %I RENAME TO %I', v_table || '_next', v_table);
  END LOOP;
  RETURN true;
END
$$;
--> statement-breakpoint

-- drop_old_tables: drops what the last rebuild replaced. Returns whether there was any.
CREATE FUNCTION drop_old_tables(p_tables text[])
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_table text;
  v_any boolean := false;
BEGIN
  FOREACH v_table IN ARRAY p_tables LOOP
    v_any := v_any OR to_regclass(quote_ident(v_table || '_old')) IS NOT NULL;
    EXECUTE format('DROP TABLE IF EXISTS %I', v_table || '_old');
  END LOOP;
  RETURN v_any;
END
$$;
--> statement-breakpoint

-- rows_at: rows of a projection's table by their keys, as a JSON array of objects with the columns asked for.
--
-- p_keys   [{ column: value }] without bucket
-- One look into the primary key for each: a table that a rebuild fills has no statistics, and left to itself the planner reads
-- all of it for each batch.
CREATE FUNCTION rows_at(p_table text, p_bucket smallint, p_keys json, p_key text[], p_columns text[])
RETURNS text
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
AS $$
DECLARE
  v_found text;
BEGIN
  EXECUTE format(
    'SELECT json_agg(found.row) FROM json_populate_recordset(NULL::%1$I, $1) k
     CROSS JOIN LATERAL (SELECT json_build_object(%2$s) AS row FROM %1$I t WHERE t.bucket = $2 AND %3$s OFFSET 0) found',
    p_table,
    (SELECT string_agg(format('%L, t.%I', c, c), ', ') FROM unnest(p_key || p_columns) AS c),
    (SELECT string_agg(format('t.%1$I = k.%1$I', c), ' AND ') FROM unnest(p_key) AS c))
  INTO v_found USING p_keys, p_bucket;
  RETURN coalesce(v_found, '[]');
END
$$;
