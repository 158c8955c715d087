-- kept_by_id, kept_at_version: an event of a user in user_events, and whether its content is the given one.
CREATE FUNCTION kept_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND e.metadata IS NOT DISTINCT FROM p_metadata AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM (SELECT * FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.id >= p_id ORDER BY e.id LIMIT 1) e
  WHERE e.id = p_id
$$;
--> statement-breakpoint

CREATE FUNCTION kept_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$
  SELECT e."tenantId", e.id, e.version, e.position, e."eventType", e."schemaVersion", e."createdAt",
         e."eventData" = p_data AND e.metadata IS NOT DISTINCT FROM p_metadata AND e."occurredAt" IS NOT DISTINCT FROM p_occurred
  FROM (SELECT * FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version >= p_version ORDER BY e.version LIMIT 1) e
  WHERE e.version = p_version
$$;
--> statement-breakpoint

-- stored_by_id, stored_at_version: the same wherever the event is. archived_users: those of p_users of whom events are elsewhere.
-- As long as there is no archive (0009) everything is in user_events.
CREATE FUNCTION stored_by_id(p_bucket smallint, p_user uuid, p_id uuid, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$ SELECT * FROM kept_by_id(p_bucket, p_user, p_id, p_data, p_metadata, p_occurred) $$;
--> statement-breakpoint

CREATE FUNCTION stored_at_version(p_bucket smallint, p_user uuid, p_version integer, p_data jsonb, p_metadata jsonb, p_occurred timestamptz)
RETURNS TABLE ("tenantId" uuid, id uuid, version integer, "position" bigint, "eventType" varchar, "schemaVersion" smallint,
               "createdAt" timestamptz, same boolean)
LANGUAGE sql STABLE ROWS 1
AS $$ SELECT * FROM kept_at_version(p_bucket, p_user, p_version, p_data, p_metadata, p_occurred) $$;
--> statement-breakpoint

CREATE FUNCTION archived_users(p_bucket smallint, p_users uuid[])
RETURNS uuid[]
LANGUAGE sql STABLE
AS $$ SELECT '{}'::uuid[] $$;
--> statement-breakpoint

-- import_events: stores events of one tenant that have their versions and times already, in one bucket.
--
-- Keeps true what append_events keeps true, under the same lock: versions of a user are 1..n without a gap, positions of a
-- bucket are 1..n without a gap and in commit order, createdAt never decreases within a user, nothing follows UserDeleted,
-- and no event is recorded in the future. All rows before the first bad one are stored, nothing of it and of what follows.
-- A row that is stored already, with the same id at the same version and the same content, is passed over as a duplicate:
-- the call can be repeated for ever.
--
-- The caller has seen to what shows in the rows alone: those of a user are consecutive versions in ascending order, times do
-- not go back, version 1 and nothing else is UserCreated, and nothing follows UserDeleted. So a user's
-- rows continue the stored stream if the first of them does that is not stored already.
--
-- Users, each once:
--   p_users      their ids
--   p_firsts     number of a user's first row, from 1
-- Rows, in the order of the positions they get:
--   p_of         number of the user in p_users, from 1
--   p_versions, p_ids, p_types, p_schemas, p_occurred, p_created
--   p_asked      whether the client named the schema version; if not, a duplicate need not have the same
--   p_data, p_metadata   JSON texts without line breaks, one a line; `null` stands for no metadata
-- p_since: null, or the last position before an earlier call with these rows whose outcome is not known: what stands after
--   it is that call's work, and no duplicate
--
-- One row:
--   duplicates   numbers of the rows that were stored before, among those before the bad one
--   bad, reason, current   the first bad row, why, and the stored version of its user; null when all are well:
--     taken (the id belongs to another tenant), gap (versions are missing before it), differs (another event stands at its
--     version), reused (its id stands at another version), deleted (the user is), earlier (than the event before), future
--   head         last position of the bucket now
--
-- Rows come as arrays, which take half the time of JSON to take apart. The settings are those of append_events, for the same reasons.
CREATE FUNCTION import_events(
  p_bucket smallint, p_tenant uuid, p_users uuid[], p_firsts integer[], p_of integer[], p_versions integer[], p_ids uuid[],
  p_types varchar[], p_schemas smallint[], p_asked boolean[], p_data text, p_metadata text, p_occurred timestamptz[],
  p_created timestamptz[], p_since bigint)
RETURNS TABLE (duplicates integer[], bad integer, reason text, current integer, head bigint)
LANGUAGE plpgsql VOLATILE
SET jit = off
SET enable_seqscan = off
SET enable_bitmapscan = off
SET enable_sort = off
SET plan_cache_mode = force_generic_plan
AS $$
#variable_conflict use_column
DECLARE
  v_last bigint;
  v_heads integer[];
  v_overlap boolean;
  v_duplicates integer[] := '{}';
  v_bad integer;
  v_reason text;
  v_current integer;
  v_reused integer;
  v_stored integer;
  v_archived uuid[] := archived_users(p_bucket, p_users);
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  SELECT coalesce(max(newest.position), 0) INTO v_last FROM (
    SELECT e.position FROM user_events e WHERE e.bucket = p_bucket ORDER BY e.position DESC LIMIT 1
  ) newest;

  -- The stored version of every user, what the first row of each says against it, and what time says against any row.
  WITH claim AS MATERIALIZED (
    SELECT u.n, u.first, coalesce(head.version, 0) AS version, p_versions[u.first] AS asked,
           head."tenantId" <> p_tenant AS taken, head."eventType" AS type, head."createdAt" AS created
    FROM unnest(p_users, p_firsts) WITH ORDINALITY AS u(id, first, n)
    LEFT JOIN LATERAL (
      SELECT e.version, e."tenantId", e."eventType", e."createdAt"
      FROM user_events e
      WHERE e.bucket = p_bucket AND e."aggregateId" = u.id
      ORDER BY e.version DESC LIMIT 1
    ) head ON true
  ), objection AS (
    SELECT claim.first AS i, claim.version, CASE
        WHEN taken THEN 'taken'
        WHEN asked > version + 1 THEN 'gap'
        WHEN asked = version + 1 AND type = 'UserDeleted' THEN 'deleted'
        WHEN asked = version + 1 AND p_created[claim.first] < created THEN 'earlier'
      END AS reason
    FROM claim
    UNION ALL
    (SELECT c.i, 0, 'future' FROM unnest(p_created) WITH ORDINALITY AS c(created, i)
     WHERE c.created > clock_timestamp() ORDER BY c.i LIMIT 1)
  ), first AS (
    SELECT i, reason, version FROM objection WHERE reason IS NOT NULL ORDER BY i, reason DESC LIMIT 1
  )
  SELECT array_agg(claim.version ORDER BY claim.n), coalesce(bool_or(NOT coalesce(taken, false) AND asked <= claim.version), false),
         min(first.i), min(first.reason), min(first.version)
  INTO v_heads, v_overlap, v_bad, v_reason, v_current
  FROM claim LEFT JOIN first ON true;

  IF v_overlap THEN
    -- Rows up to a user's stored version must be what is stored there; the one after them must be able to follow it.
    WITH compared AS MATERIALIZED (
      SELECT r.i, r.version <= v_heads[r.u] AS known, old.position, v_heads[r.u] AS head, CASE
          WHEN r.version > v_heads[r.u] THEN
            CASE WHEN old."eventType" = 'UserDeleted' THEN 'deleted' WHEN r.created < old."createdAt" THEN 'earlier' END
          WHEN old.id <> r.id OR old."eventType" <> r.type OR (r.asked AND old."schemaVersion" <> r.schema)
            OR NOT old.same OR old."createdAt" <> r.created THEN 'differs'
        END AS reason
      FROM unnest(p_of, p_versions, p_ids, p_types, p_schemas, p_asked, string_to_array(p_data, E'\n'),
                  string_to_array(p_metadata, E'\n', 'null'), p_occurred, p_created)
        WITH ORDINALITY AS r(u, version, id, type, schema, asked, data, metadata, occurred, created, i)
      CROSS JOIN LATERAL stored_at_version(p_bucket, p_users[r.u], least(r.version, v_heads[r.u]),
        r.data::jsonb, r.metadata::jsonb, r.occurred) old
      WHERE r.i < coalesce(v_bad, 2147483647) AND r.version <= v_heads[r.u] + 1
    ), first AS (
      SELECT i, reason, head FROM compared WHERE reason IS NOT NULL ORDER BY i LIMIT 1
    )
    SELECT coalesce(array_agg(compared.i ORDER BY compared.i) FILTER (
             WHERE known AND compared.i < coalesce(first.i, 2147483647) AND (p_since IS NULL OR compared.position <= p_since)), '{}'),
           coalesce(min(first.i), v_bad), coalesce(min(first.reason), v_reason), coalesce(min(first.head), v_current)
    INTO v_duplicates, v_bad, v_reason, v_current
    FROM compared LEFT JOIN first ON true;
  END IF;

  LOOP
    BEGIN
      -- The keys refuse ids that stand in user_events; those in the archive have to be looked for.
      IF cardinality(v_archived) > 0 AND EXISTS (
        SELECT FROM unnest(p_of, p_versions, p_ids) WITH ORDINALITY AS r(u, version, id, i)
        CROSS JOIN LATERAL stored_by_id(p_bucket, p_users[r.u], r.id, NULL, NULL, NULL)
        WHERE r.i < coalesce(v_bad, 2147483647) AND r.version > v_heads[r.u] AND p_users[r.u] = ANY (v_archived)
      ) THEN
        RAISE unique_violation;
      END IF;
      -- The rows come in the order of the arrays, and are numbered in it.
      INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion",
                               "eventData", metadata, "tenantId", "occurredAt", "createdAt")
      SELECT p_bucket, v_last + row_number() OVER (), r.id, p_users[r.u], r.version, r.type, r.schema,
             r.data::jsonb, r.metadata::jsonb, p_tenant, r.occurred, r.created
      FROM unnest(p_of, p_versions, p_ids, p_types, p_schemas, string_to_array(p_data, E'\n'),
                  string_to_array(p_metadata, E'\n', 'null'), p_occurred, p_created)
        WITH ORDINALITY AS r(u, version, id, type, schema, data, metadata, occurred, created, i)
      WHERE r.i < coalesce(v_bad, 2147483647) AND r.version > v_heads[r.u];
      GET DIAGNOSTICS v_stored = ROW_COUNT;
      EXIT;
    EXCEPTION WHEN unique_violation THEN
      -- To look every id up beforehand would cost each import what only a bad one needs.
      SELECT min(r.i) INTO v_reused
      FROM (
        SELECT r.i, r.u, r.version, r.id, count(*) OVER (PARTITION BY r.u, r.id ORDER BY r.i) AS times
        FROM unnest(p_of, p_versions, p_ids) WITH ORDINALITY AS r(u, version, id, i)
      ) r
      LEFT JOIN LATERAL stored_by_id(p_bucket, p_users[r.u], r.id, NULL, NULL, NULL) old ON true
      WHERE r.i < coalesce(v_bad, 2147483647) AND r.version > v_heads[r.u] AND (r.times > 1 OR old.id = r.id);
      IF v_reused IS NULL THEN RAISE; END IF;
      v_bad := v_reused;
      v_reason := 'reused';
      v_current := v_heads[p_of[v_reused]];
      v_duplicates := ARRAY(SELECT d FROM unnest(v_duplicates) AS d WHERE d < v_reused ORDER BY d);
    END;
  END LOOP;

  RETURN QUERY SELECT v_duplicates, v_bad, v_reason, v_current, v_last + v_stored;
END
$$;
