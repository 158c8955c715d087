CREATE TABLE "user_events_archive" (
	"bucket" smallint NOT NULL,
	"position" bigint NOT NULL,
	"id" uuid NOT NULL,
	"aggregateId" uuid NOT NULL,
	"version" integer NOT NULL,
	"eventType" varchar(100) NOT NULL,
	"schemaVersion" smallint NOT NULL,
	"eventData" jsonb NOT NULL,
	"metadata" jsonb,
	"tenantId" uuid NOT NULL,
	"occurredAt" timestamp (3) with time zone,
	"createdAt" timestamp (3) with time zone NOT NULL,
	CONSTRAINT "user_events_archive_pkey" PRIMARY KEY("bucket","aggregateId","version","createdAt"),
	CONSTRAINT "user_events_archive_position_key" UNIQUE("bucket","position","createdAt"),
	CONSTRAINT "user_events_archive_id_key" UNIQUE("bucket","aggregateId","id","createdAt"),
	CONSTRAINT "user_events_archive_version_check" CHECK ("user_events_archive"."version" > 0),
	CONSTRAINT "user_events_archive_position_check" CHECK ("user_events_archive"."position" > 0),
	CONSTRAINT "user_events_archive_data_check" CHECK (jsonb_typeof("user_events_archive"."eventData") = 'object')
) PARTITION BY RANGE ("createdAt");
--> statement-breakpoint
CREATE TABLE "user_events_offline" (
	"bucket" smallint NOT NULL,
	"position" bigint NOT NULL,
	"id" uuid NOT NULL,
	"aggregateId" uuid NOT NULL,
	"version" integer NOT NULL,
	"eventType" varchar(100) NOT NULL,
	"schemaVersion" smallint NOT NULL,
	"content" text NOT NULL,
	"tenantId" uuid NOT NULL,
	"createdAt" timestamp (3) with time zone NOT NULL,
	"partition" varchar(63) NOT NULL,
	CONSTRAINT "user_events_offline_pkey" PRIMARY KEY("bucket","aggregateId","version"),
	CONSTRAINT "user_events_offline_position_key" UNIQUE("bucket","position"),
	CONSTRAINT "user_events_offline_id_key" UNIQUE("bucket","aggregateId","id")
);
--> statement-breakpoint
CREATE TABLE "archive_partitions" (
	"bucket" smallint NOT NULL,
	"name" varchar(63) NOT NULL,
	"from" timestamp (3) with time zone NOT NULL,
	"to" timestamp (3) with time zone NOT NULL,
	"events" bigint NOT NULL,
	"firstPosition" bigint NOT NULL,
	"lastPosition" bigint NOT NULL,
	"location" text,
	"offlineAt" timestamp (3) with time zone,
	CONSTRAINT "archive_partitions_pkey" PRIMARY KEY("bucket","name")
);
--> statement-breakpoint
CREATE TABLE "archive_runs" (
	"bucket" smallint DEFAULT 0 NOT NULL,
	"id" uuid DEFAULT gen_random_uuid() NOT NULL,
	"origin" varchar(10) NOT NULL,
	"dryRun" boolean NOT NULL,
	"cutoff" timestamp (3) with time zone NOT NULL,
	"status" varchar(10) DEFAULT 'waiting' NOT NULL,
	"requestedAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	"startedAt" timestamp (3) with time zone,
	"finishedAt" timestamp (3) with time zone,
	"events" bigint DEFAULT 0 NOT NULL,
	"windows" integer DEFAULT 0 NOT NULL,
	"error" text,
	CONSTRAINT "archive_runs_pkey" PRIMARY KEY("bucket","id"),
	CONSTRAINT "archive_runs_status_check" CHECK ("archive_runs"."status" IN ('waiting', 'running', 'done', 'failed'))
);
--> statement-breakpoint
CREATE TABLE "archive_windows" (
	"bucket" smallint NOT NULL,
	"runId" uuid NOT NULL,
	"firstPosition" bigint NOT NULL,
	"lastPosition" bigint NOT NULL,
	"events" integer NOT NULL,
	"users" integer NOT NULL,
	"hash" text NOT NULL,
	"movedAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "archive_windows_pkey" PRIMARY KEY("bucket","runId","lastPosition")
);
--> statement-breakpoint
CREATE UNIQUE INDEX "archive_runs_open_key" ON "archive_runs" USING btree ("bucket") WHERE "status" IN ('waiting', 'running');
--> statement-breakpoint
CREATE INDEX "IDX_ARCHIVE_RUNS_REQUESTED" ON "archive_runs" USING btree ("requestedAt");
--> statement-breakpoint

-- The archive. Old events move from user_events to user_events_archive, which has one partition for each month (UTC) of
-- createdAt: user_events_archive_2024_03. What is always true:
--   - of every user the archive holds the versions 1..n without a gap, and user_events all after n, at least the newest one;
--     while a window is under way, some of them stand in both
--   - a partition may be taken offline when its events are kept elsewhere: then user_events_offline holds what is needed to
--     know an event when it is sent again

CREATE TRIGGER user_events_archive_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON user_events_archive
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
--> statement-breakpoint

-- Events of a window that is under way stand in it twice.
CREATE OR REPLACE VIEW whole_log AS SELECT * FROM user_events UNION ALL SELECT * FROM user_events_archive;
--> statement-breakpoint

-- archive_partition_of: name of the partition for events recorded at p_at.
CREATE FUNCTION archive_partition_of(p_at timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN 'user_events_archive_' || to_char(p_at AT TIME ZONE 'UTC', 'YYYY_MM');
--> statement-breakpoint

-- create_archive_partition: makes the partition for events recorded at p_at, if there is none. Returns its name, or null when it is
-- offline. Readers of the archive go on meanwhile: a table is made first, and attached then.
CREATE FUNCTION create_archive_partition(p_at timestamptz)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_name text := archive_partition_of(p_at);
  v_from timestamp := date_trunc('month', p_at AT TIME ZONE 'UTC');
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814);
  IF EXISTS (SELECT FROM archive_partitions p WHERE p.name = v_name AND p."offlineAt" IS NOT NULL) THEN RETURN NULL; END IF;
  IF to_regclass(v_name) IS NOT NULL THEN RETURN v_name; END IF;
  EXECUTE format('CREATE TABLE %I (LIKE user_events_archive INCLUDING ALL)', v_name);
  EXECUTE format('CREATE TRIGGER user_events_archive_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', v_name);
  EXECUTE format('ALTER TABLE user_events_archive ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', v_name,
    v_from AT TIME ZONE 'UTC', (v_from + interval '1 month') AT TIME ZONE 'UTC');
  RETURN v_name;
END
$$;
--> statement-breakpoint

-- first_kept_version: of a user, the first version that is in user_events; all before it are in the archive. Null without a user.
CREATE FUNCTION first_kept_version(p_bucket smallint, p_user uuid)
RETURNS integer
LANGUAGE sql STABLE
AS $$
  SELECT e.version FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user ORDER BY e.version LIMIT 1
$$;
--> statement-breakpoint

-- archive_candidates: which events a window can move: of each user with some among the p_span positions after p_after, a range of
-- versions that begins with the first one still in user_events. Left where they are: events recorded at p_cutoff or later, events
-- after p_end (where a follower stands), a user's newest event, and so the newest of the bucket, events of users among p_held, events of a
-- month whose partition is offline, and all that comes later in the streams of their users.
CREATE FUNCTION archive_candidates(
  p_bucket smallint, p_after bigint, p_span integer, p_end bigint, p_cutoff timestamptz, p_held uuid[])
RETURNS TABLE ("userId" uuid, "tenantId" uuid, first integer, last integer)
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  WITH seen AS (
    SELECT e."aggregateId", e."tenantId", e.version, e."createdAt" < p_cutoff AND e."aggregateId" <> ALL (p_held)
      AND NOT EXISTS (SELECT FROM archive_partitions p WHERE p.bucket = p_bucket AND p."offlineAt" IS NOT NULL
                      AND p."from" <= e."createdAt" AND e."createdAt" < p."to") AS movable
    FROM user_events e
    WHERE e.bucket = p_bucket AND e.position > p_after AND e.position <= least(p_after + p_span, p_end)
  ), of_user AS (
    SELECT seen."aggregateId", seen."tenantId", min(seen.version) AS first,
           coalesce(min(seen.version) FILTER (WHERE NOT seen.movable) - 1, max(seen.version)) AS last
    FROM seen GROUP BY 1, 2
  )
  SELECT u."aggregateId", u."tenantId", u.first, least(u.last, newest.version - 1)
  FROM of_user u
  CROSS JOIN LATERAL (
    SELECT e.version FROM user_events e
    WHERE e.bucket = p_bucket AND e."aggregateId" = u."aggregateId" ORDER BY e.version DESC LIMIT 1
  ) newest
  WHERE u.first <= least(u.last, newest.version - 1) AND u.first = first_kept_version(p_bucket, u."aggregateId");
END
$$;
--> statement-breakpoint

-- count_archivable: how many of the p_span positions after p_after a run would move; see archive_candidates.
CREATE FUNCTION count_archivable(p_bucket smallint, p_after bigint, p_span integer, p_end bigint, p_cutoff timestamptz)
RETURNS bigint
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
  SELECT count(*) FROM user_events e
  CROSS JOIN LATERAL (
    SELECT n.version FROM user_events n
    WHERE n.bucket = e.bucket AND n."aggregateId" = e."aggregateId" ORDER BY n.version DESC LIMIT 1
  ) newest
  WHERE e.bucket = p_bucket AND e.position > p_after AND e.position <= least(p_after + p_span, p_end)
    AND e."createdAt" < p_cutoff AND e.version < newest.version
    AND NOT EXISTS (SELECT FROM archive_partitions p WHERE p.bucket = p_bucket AND p."offlineAt" IS NOT NULL
                    AND p."from" <= e."createdAt" AND e."createdAt" < p."to")
$$;
--> statement-breakpoint

-- A window: of each of p_users the versions from p_firsts to p_lasts. The steps of its move come in this order, each can be repeated:
-- create_archive_partitions, copy_to_archive, archive_hash (of both sides), delete_archived.

-- window_events: the events of a window in user_events.
CREATE FUNCTION window_events(p_bucket smallint, p_users uuid[], p_firsts integer[], p_lasts integer[])
RETURNS SETOF user_events
LANGUAGE sql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
  SELECT e.* FROM unnest(p_users, p_firsts, p_lasts) AS w(id, first, last)
  JOIN user_events e ON e.bucket = p_bucket AND e."aggregateId" = w.id AND e.version BETWEEN w.first AND w.last
$$;
--> statement-breakpoint

-- create_archive_partitions: makes the partitions that a window needs.
CREATE FUNCTION create_archive_partitions(p_bucket smallint, p_users uuid[], p_firsts integer[], p_lasts integer[])
RETURNS void
LANGUAGE sql VOLATILE
AS $$
  SELECT create_archive_partition(month) FROM (
    SELECT DISTINCT date_trunc('month', e."createdAt", 'UTC') AS month FROM window_events(p_bucket, p_users, p_firsts, p_lasts) e
    ORDER BY month
  ) months
$$;
--> statement-breakpoint

-- copy_to_archive: copies a window. Returns how many events it copied; those that are there already are passed over.
CREATE FUNCTION copy_to_archive(p_bucket smallint, p_users uuid[], p_firsts integer[], p_lasts integer[])
RETURNS integer
LANGUAGE plpgsql VOLATILE
AS $$
DECLARE
  v_copied integer;
BEGIN
  INSERT INTO user_events_archive SELECT e.* FROM window_events(p_bucket, p_users, p_firsts, p_lasts) e ON CONFLICT DO NOTHING;
  GET DIAGNOSTICS v_copied = ROW_COUNT;
  RETURN v_copied;
END
$$;
--> statement-breakpoint

-- check_archived: whether the copy of a window is complete and right: as many events on both sides, of each user the same first and
-- last version, and the same hash: SHA-256 over the MD5 of every row, by user and version. Returns that hash; raises UEA01 if not.
CREATE FUNCTION check_archived(p_bucket smallint, p_users uuid[], p_firsts integer[], p_lasts integer[])
RETURNS text
LANGUAGE plpgsql STABLE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
DECLARE
  v_kept record;
  v_copied record;
  v_asked bigint := (SELECT sum(l - f + 1) FROM unnest(p_firsts, p_lasts) AS w(f, l));
BEGIN
  SELECT count(*) AS events, encode(sha256(string_agg(md5(e::text), '' ORDER BY e."aggregateId", e.version)::bytea), 'hex') AS hash
  INTO v_kept FROM window_events(p_bucket, p_users, p_firsts, p_lasts) e;
  SELECT count(*) AS events, encode(sha256(string_agg(md5(e::text), '' ORDER BY e."aggregateId", e.version)::bytea), 'hex') AS hash
  INTO v_copied
  FROM unnest(p_users, p_firsts, p_lasts) AS w(id, f, l)
  JOIN user_events_archive e ON e.bucket = p_bucket AND e."aggregateId" = w.id AND e.version BETWEEN w.f AND w.l;
  IF v_kept.events <> v_asked OR v_copied.events <> v_asked OR v_kept.hash IS DISTINCT FROM v_copied.hash THEN
    RAISE EXCEPTION 'the copy of a window of % events differs: user_events has % of them, the archive %, the hashes are % and %',
      v_asked, v_kept.events, v_copied.events, v_kept.hash, v_copied.hash USING ERRCODE = 'UEA01',
      HINT = 'Nothing was deleted. Compare the versions named in archive_candidates with those in user_events_archive.';
  END IF;
  IF EXISTS (
    SELECT FROM unnest(p_users, p_firsts, p_lasts) AS w(id, f, l)
    WHERE NOT EXISTS (SELECT FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = w.id AND e.version > w.l)
       OR w.f <> first_kept_version(p_bucket, w.id)
  ) THEN
    RAISE EXCEPTION 'a window holds the newest event of a user, or not the first that is left of one' USING ERRCODE = 'UEA01';
  END IF;
  RETURN v_kept.hash;
END
$$;
--> statement-breakpoint

-- delete_archived: deletes a window that was copied from user_events, if it is still as it was checked, and notes it. Does nothing
-- unless the epoch of the worker `archive` is still p_epoch; returns how many events were moved, null if it did nothing.
CREATE FUNCTION delete_archived(
  p_bucket smallint, p_epoch bigint, p_run uuid, p_users uuid[], p_firsts integer[], p_lasts integer[], p_hash text)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET TimeZone = 'UTC'
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
#variable_conflict use_column
DECLARE
  v_moved record;
BEGIN
  PERFORM FROM workers w WHERE w.bucket = 0 AND w.name = 'archive' AND w.epoch = p_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN NULL; END IF;
  IF check_archived(p_bucket, p_users, p_firsts, p_lasts) <> p_hash THEN
    RAISE EXCEPTION 'a window changed after it was checked' USING ERRCODE = 'UEA01';
  END IF;

  -- Not in a SET clause: see refuse_unclaimed.
  PERFORM set_config('user_event_store.maintenance', 'archive', true);
  WITH moved AS (
    DELETE FROM user_events e USING unnest(p_users, p_firsts, p_lasts) AS w(id, f, l)
    WHERE e.bucket = p_bucket AND e."aggregateId" = w.id AND e.version BETWEEN w.f AND w.l
    RETURNING e.position, e."createdAt"
  ), noted AS (
    INSERT INTO archive_partitions AS p (bucket, name, "from", "to", events, "firstPosition", "lastPosition")
    SELECT p_bucket, archive_partition_of(month), month, month + interval '1 month', count(*), min(m.position), max(m.position)
    FROM (SELECT moved.position, date_trunc('month', moved."createdAt", 'UTC') AS month FROM moved) m GROUP BY month
    ON CONFLICT (bucket, name) DO UPDATE
    SET events = p.events + excluded.events, "firstPosition" = least(p."firstPosition", excluded."firstPosition"),
        "lastPosition" = greatest(p."lastPosition", excluded."lastPosition")
  )
  SELECT count(*)::integer AS events, min(moved.position) AS first, max(moved.position) AS last INTO v_moved FROM moved;
  PERFORM set_config('user_event_store.maintenance', '', true);

  INSERT INTO archive_windows (bucket, "runId", "firstPosition", "lastPosition", events, users, hash)
  VALUES (p_bucket, p_run, v_moved.first, v_moved.last, v_moved.events, cardinality(p_users), p_hash);
  UPDATE archive_runs r SET events = r.events + v_moved.events, windows = r.windows + 1 WHERE r.bucket = 0 AND r.id = p_run;
  RETURN v_moved.events;
END
$$;
--> statement-breakpoint

-- archive_bytes: what the partitions take that are here, with their indexes.
CREATE FUNCTION archive_bytes()
RETURNS bigint
LANGUAGE sql STABLE
AS $$
  SELECT coalesce(sum(pg_total_relation_size(t.relid)), 0)::bigint FROM pg_partition_tree('user_events_archive') t WHERE t.isleaf AND t.level > 0
$$;
--> statement-breakpoint

-- event_content: names the content of an event that is kept elsewhere.
CREATE FUNCTION event_content(p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS text
LANGUAGE sql STABLE
RETURN encode(sha256(convert_to(jsonb_build_array(p_data, p_metadata, extract(epoch FROM p_occurred))::text, 'UTF8')), 'hex');
--> statement-breakpoint

-- archived_by_id, archived_at_version: an event of a user that is not in user_events any more, and whether its content is the given one.
CREATE FUNCTION archived_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND e.metadata IS NOT DISTINCT FROM p_metadata AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id = p_id AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content = event_content(p_data, p_metadata, p_occurred)
  FROM user_events_offline e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id = p_id;
END
$$;
--> statement-breakpoint

CREATE FUNCTION archived_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE plpgsql STABLE ROWS 1
AS $$
#variable_conflict use_column
BEGIN
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND e.metadata IS NOT DISTINCT FROM p_metadata AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM user_events_archive e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version AND e.version < first_kept_version(p_bucket, p_user);
  IF FOUND THEN RETURN; END IF;
  RETURN QUERY
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e.content = event_content(p_data, p_metadata, p_occurred)
  FROM user_events_offline e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version = p_version;
END
$$;
--> statement-breakpoint

-- stored_by_id, stored_at_version, archived_users: as in 0005, in the archive as well.
CREATE OR REPLACE FUNCTION stored_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT * FROM kept_by_id(p_bucket, p_user, p_id, p_data, p_metadata, p_occurred)
  UNION ALL
  SELECT * FROM archived_by_id(p_bucket, p_user, p_id, p_data, p_metadata, p_occurred) WHERE first_kept_version(p_bucket, p_user) > 1
$$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION stored_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT * FROM kept_at_version(p_bucket, p_user, p_version, p_data, p_metadata, p_occurred)
  UNION ALL
  SELECT * FROM archived_at_version(p_bucket, p_user, p_version, p_data, p_metadata, p_occurred)
  WHERE p_version < first_kept_version(p_bucket, p_user)
$$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION archived_users(p_bucket smallint, p_users uuid[])
RETURNS uuid[]
LANGUAGE sql STABLE
AS $$
  SELECT CASE WHEN EXISTS (SELECT FROM archive_partitions)
    THEN ARRAY(SELECT u FROM unnest(p_users) AS u WHERE first_kept_version(p_bucket, u) > 1) ELSE '{}' END
$$;
--> statement-breakpoint

-- id_at: id of the event at a position of a bucket, wherever it is; null if there is none.
CREATE FUNCTION id_at(p_bucket smallint, p_position bigint)
RETURNS uuid
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_id uuid;
BEGIN
  SELECT e.id INTO v_id FROM user_events e WHERE e.bucket = p_bucket AND e.position = p_position;
  IF FOUND OR p_position < 1 THEN RETURN v_id; END IF;
  SELECT e.id INTO v_id FROM user_events_archive e WHERE e.bucket = p_bucket AND e.position = p_position;
  IF FOUND THEN RETURN v_id; END IF;
  SELECT e.id INTO v_id FROM user_events_offline e WHERE e.bucket = p_bucket AND e.position = p_position;
  RETURN v_id;
END
$$;
--> statement-breakpoint

-- recorded_after: when the first event after a position of a bucket was recorded, wherever it is; null if there is none.
CREATE FUNCTION recorded_after(p_bucket smallint, p_position bigint)
RETURNS timestamptz
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_position bigint;
  v_created timestamptz;
BEGIN
  SELECT e.position, e."createdAt" INTO v_position, v_created FROM user_events e
  WHERE e.bucket = p_bucket AND e.position > p_position ORDER BY e.position LIMIT 1;
  IF v_position IS NULL OR v_position = p_position + 1 THEN RETURN v_created; END IF;
  RETURN coalesce(
    (SELECT e."createdAt" FROM user_events_archive e WHERE e.bucket = p_bucket AND e.position = p_position + 1),
    (SELECT e."createdAt" FROM user_events_offline e WHERE e.bucket = p_bucket AND e.position = p_position + 1),
    v_created);
END
$$;
--> statement-breakpoint

-- user_version_until: as in 0006, in the archive as well.
CREATE OR REPLACE FUNCTION user_version_until(p_bucket smallint, p_user uuid, p_at timestamptz, p_position bigint)
RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_kept integer := kept_version_until(p_bucket, p_user, p_at, p_position);
BEGIN
  -- Below the first that is kept all are in the archive; there is nothing below version 1.
  IF v_kept = 0 OR v_kept >= first_kept_version(p_bucket, p_user) THEN RETURN v_kept; END IF;
  RETURN coalesce(greatest(
    (SELECT max(e.version) FROM user_events_archive e
     WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND is_until(e."createdAt", e.position, p_at, p_position)),
    (SELECT max(e.version) FROM user_events_offline e
     WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND is_until(e."createdAt", e.position, p_at, p_position))), 0);
END
$$;
--> statement-breakpoint

-- take_partition_offline: takes a partition away whose files were written. Its events stay known by user_events_offline. Returns how many.
-- Raises UEA02, with nothing done, unless all of it can be done without: no run is open, every subscription has passed its events and
-- owes none of them.
CREATE FUNCTION take_partition_offline(p_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_noted bigint;
  v_found bigint;
  v_text text;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814);
  SELECT sum(p.events) INTO v_noted FROM archive_partitions p
  WHERE p.name = p_name AND p."offlineAt" IS NULL AND p.location IS NOT NULL;
  IF v_noted IS NULL THEN
    RAISE EXCEPTION '% is no partition that is here and was exported', p_name USING ERRCODE = 'UEA02';
  END IF;
  IF EXISTS (SELECT FROM archive_runs r WHERE r.status IN ('waiting', 'running')) THEN
    RAISE EXCEPTION 'a run of the archive is under way; wait for its end' USING ERRCODE = 'UEA02';
  END IF;
  SELECT string_agg(DISTINCT s.name, ', ') INTO v_text
  FROM archive_partitions p JOIN subscription_checkpoints c ON c.bucket = p.bucket AND c.position < p."lastPosition"
  JOIN subscriptions s ON s.id = c."subscriptionId" WHERE p.name = p_name;
  IF v_text IS NOT NULL THEN
    RAISE EXCEPTION 'events of % have not been passed yet by the subscriptions: %', p_name, v_text USING ERRCODE = 'UEA02';
  END IF;
  EXECUTE format('SELECT string_agg(DISTINCT s.name, %L) FROM event_outbox o JOIN %I e ON e.bucket = o.bucket AND e.position = o.position
    JOIN subscriptions s ON s.id = o."subscriptionId" WHERE o.status IN (%L, %L)', ', ', p_name, 'pending', 'dead') INTO v_text;
  IF v_text IS NOT NULL THEN
    RAISE EXCEPTION 'events of % are owed by the subscriptions: %; retry or discard them first', p_name, v_text USING ERRCODE = 'UEA02';
  END IF;

  EXECUTE format('INSERT INTO user_events_offline (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", content,
      "tenantId", "createdAt", partition)
    SELECT e.bucket, e.position, e.id, e."aggregateId", e.version, e."eventType", e."schemaVersion",
      event_content(e."eventData", e.metadata, e."occurredAt"), e."tenantId", e."createdAt", %L FROM %I e', p_name, p_name);
  GET DIAGNOSTICS v_found = ROW_COUNT;
  IF v_found <> v_noted THEN
    RAISE EXCEPTION '% holds % events where the manifest has %', p_name, v_found, v_noted USING ERRCODE = 'UEA02';
  END IF;
  UPDATE archive_partitions p SET "offlineAt" = clock_timestamp() WHERE p.name = p_name;
  EXECUTE format('ALTER TABLE user_events_archive DETACH PARTITION %I', p_name);
  EXECUTE format('DROP TABLE %I', p_name);
  RETURN v_found;
END
$$;
--> statement-breakpoint

-- prepare_restore: makes the table that a partition which is offline is restored into, if it is not there.
CREATE FUNCTION prepare_restore(p_name varchar)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814);
  IF NOT EXISTS (SELECT FROM archive_partitions p WHERE p.name = p_name AND p."offlineAt" IS NOT NULL) THEN
    RAISE EXCEPTION '% is no partition that is offline', p_name USING ERRCODE = 'UEA02';
  END IF;
  IF to_regclass(p_name) IS NOT NULL THEN RETURN; END IF;
  EXECUTE format('CREATE TABLE %I (LIKE user_events_archive INCLUDING ALL)', p_name);
  EXECUTE format('CREATE TRIGGER user_events_archive_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', p_name);
END
$$;
--> statement-breakpoint

-- bring_partition_back: attaches a restored partition, if it holds exactly what was taken away. Returns how many events; raises UEA02 if not.
CREATE FUNCTION bring_partition_back(p_name varchar)
RETURNS bigint
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_from timestamptz;
  v_to timestamptz;
  v_restored bigint;
  v_known bigint;
  v_same bigint;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814);
  SELECT min(p."from"), min(p."to") INTO v_from, v_to FROM archive_partitions p WHERE p.name = p_name AND p."offlineAt" IS NOT NULL;
  IF v_from IS NULL THEN RAISE EXCEPTION '% is no partition that is offline', p_name USING ERRCODE = 'UEA02'; END IF;
  SELECT count(*) INTO v_known FROM user_events_offline o WHERE o.partition = p_name;
  EXECUTE format('SELECT count(*) FROM %I', p_name) INTO v_restored;
  EXECUTE format('SELECT count(*) FROM %I e JOIN user_events_offline o ON o.bucket = e.bucket AND o."aggregateId" = e."aggregateId"
      AND o.version = e.version AND o.id = e.id AND o.position = e.position AND o."eventType" = e."eventType"
      AND o."schemaVersion" = e."schemaVersion" AND o."tenantId" = e."tenantId" AND o."createdAt" = e."createdAt"
      AND o.content = event_content(e."eventData", e.metadata, e."occurredAt")
    WHERE o.partition = %L', p_name, p_name) INTO v_same;
  IF v_restored <> v_known OR v_same <> v_known THEN
    RAISE EXCEPTION '% events were restored, % of them as they were, where % were taken away', v_restored, v_same, v_known
      USING ERRCODE = 'UEA02';
  END IF;
  EXECUTE format('ALTER TABLE user_events_archive ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', p_name, v_from, v_to);
  DELETE FROM user_events_offline o WHERE o.partition = p_name;
  UPDATE archive_partitions p SET "offlineAt" = NULL WHERE p.name = p_name;
  RETURN v_known;
END
$$;
--> statement-breakpoint

-- append_events as before, but for ids that stand in the archive: they are known as well.
CREATE OR REPLACE FUNCTION append_events(p_bucket smallint, p_requests jsonb, p_events jsonb, p_repeatable boolean)
RETURNS TABLE (n integer, outcome text, current integer, "position" bigint, "createdAt" timestamptz, stored jsonb)
LANGUAGE plpgsql VOLATILE
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz;
  v_known jsonb;
  v_archived uuid[];
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  v_now := date_trunc('milliseconds', clock_timestamp());

  IF p_repeatable THEN
    IF EXISTS (SELECT FROM archive_partitions) THEN
      v_archived := archived_users(p_bucket, ARRAY(
        SELECT r."user" FROM jsonb_to_recordset(p_requests) AS r("user" uuid, repeatable boolean) WHERE r.repeatable));
    END IF;
    -- What is stored already under ids of the batch, by request.
    SELECT jsonb_object_agg(known.n, jsonb_build_object('found', known.found, 'same', known.same AND known.in_order, 'stored', known.stored))
    INTO v_known
    FROM (
      SELECT event.n, count(*) AS found,
             bool_and(old."eventType" = event.type AND (old."schemaVersion" = event.schema OR NOT event.asked) AND old.same) AS same,
             min(old.version - event.i) = max(old.version - event.i) AS in_order,
             jsonb_agg(jsonb_build_object('version', old.version, 'position', old.position,
               'schemaVersion', old."schemaVersion", 'createdAt', old."createdAt") ORDER BY event.i) AS stored
      FROM jsonb_to_recordset(p_requests) AS r(n integer, tenant uuid, "user" uuid, repeatable boolean)
      JOIN jsonb_to_recordset(p_events)
        AS event(n integer, i integer, id uuid, type varchar, schema smallint, asked boolean, data jsonb, metadata jsonb, occurred timestamptz)
        ON event.n = r.n
      CROSS JOIN LATERAL (
        SELECT * FROM kept_by_id(p_bucket, r."user", event.id, event.data, event.metadata, event.occurred)
        UNION ALL
        SELECT * FROM archived_by_id(p_bucket, r."user", event.id, event.data, event.metadata, event.occurred)
        WHERE r."user" = ANY (v_archived)
      ) old
      WHERE r.repeatable AND old."tenantId" = r.tenant
      GROUP BY event.n
    ) known;
  END IF;

  RETURN QUERY
  WITH request AS (
    SELECT r.n, r.tenant, r."user", r.events, r.expected, r.creates, coalesce(head.current, 0) AS current, head.type, head.created,
           v_known -> r.n::text AS known
    FROM jsonb_to_recordset(p_requests)
      AS r(n integer, tenant uuid, "user" uuid, expected integer, creates boolean, events integer)
    LEFT JOIN LATERAL (
      SELECT CASE WHEN e."tenantId" = r.tenant THEN e.version ELSE 0 END AS current, e."eventType" AS type, e."createdAt" AS created
      FROM user_events e
      WHERE e.bucket = p_bucket AND e."aggregateId" = r."user"
      ORDER BY e.version DESC LIMIT 1
    ) head ON true
  ), decided AS (
    SELECT *,
           CASE
             WHEN (known ->> 'found')::integer = request.events AND (known ->> 'same')::boolean THEN 'duplicate'
             WHEN known IS NOT NULL THEN 'reused'
             WHEN expected >= 0 AND expected <> current OR expected = -2 AND current = 0 THEN 'conflict'
             WHEN current = 0 AND NOT creates THEN 'not_created'
             WHEN current > 0 AND type = 'UserDeleted' THEN 'deleted'
             WHEN current > 0 AND creates THEN 'already_created'
             WHEN current = 0 AND type IS NOT NULL THEN 'taken'
             ELSE 'stored'
           END AS outcome
    FROM request
  ), placed AS MATERIALIZED (
    -- First position and time of every request; the refused ones take no place. Which of them comes first is all the same.
    SELECT decided.n, decided.tenant, decided."user", decided.current, decided.outcome, decided.known,
           greatest(v_now, decided.created) AS created,
           coalesce((SELECT e.position FROM user_events e WHERE e.bucket = p_bucket ORDER BY e.position DESC LIMIT 1), 0) + 1
             + coalesce(sum(CASE WHEN decided.outcome = 'stored' THEN decided.events ELSE 0 END)
                 OVER (ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS first
    FROM decided
  ), inserted AS (
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion",
                             "eventData", metadata, "tenantId", "occurredAt", "createdAt")
    SELECT p_bucket, placed.first + event.i - 1, event.id, placed."user", placed.current + event.i, event.type, event.schema,
           event.data, event.metadata, placed.tenant, event.occurred, placed.created
    FROM jsonb_to_recordset(p_events)
      AS event(n integer, i integer, id uuid, type varchar, schema smallint, data jsonb, metadata jsonb, occurred timestamptz)
    JOIN placed ON placed.n = event.n
    WHERE placed.outcome = 'stored'
  )
  SELECT placed.n, placed.outcome, placed.current,
         CASE WHEN placed.outcome = 'stored' THEN placed.first END,
         CASE WHEN placed.outcome = 'stored' THEN placed.created END,
         CASE WHEN placed.outcome = 'duplicate' THEN placed.known -> 'stored' END
  FROM placed;
END
$$;
