-- Functions that take the place of those in 0001: the same promises in less time.

DROP FUNCTION append_events(smallint, jsonb);
--> statement-breakpoint

-- append_events: stores what it can of a batch of appends to one bucket, each request all or none.
--
-- Keeps true: versions of a user are 1..n without a gap; positions of a bucket are 1..n without a gap and in commit
-- order; createdAt never decreases within a user; nothing is stored for a request that is refused. It updates
-- nothing, so nothing bloats. One writer per bucket at a time, by an advisory lock that ends with the transaction; the
-- unique keys are the second lock. Needs READ COMMITTED: the statement after the lock must see what was committed
-- before the lock was got. A batch holds at most one request of a user.
--
-- p_requests: [{ n, tenant, user, expected, creates, repeatable, events }]
--   n         number of the request in the batch, from 1
--   expected  version the user must have; -1 any, -2 at least one event
--   creates   whether the first event is the one that creates a user (the only place where the caller lets it stand)
--   repeatable  whether its ids may be stored already: the client chose them, or the request is sent again. Ids that were made
--             for this very call are not looked up.
--   events    how many it has
-- p_events: [{ n, i, id, type, schema, asked, data, metadata, occurred }], those of all requests in one list: one scan of
--           one list costs less than one for each request
--   n, i      number of its request, and its own in there, from 1
--   asked     whether the client named the schema version; if not, a retry need not find the same
-- p_repeatable: whether any request is
--
-- One row per request, in no order:
--   outcome   stored, duplicate, reused (ids), conflict, not_created, already_created, deleted, taken (by another tenant)
--   current   version of the user before this batch; 0 if the tenant has no such user
--   position, "createdAt"   of the first event, when stored; the others follow without a gap
--   stored    when duplicate: [{ version, position, schemaVersion, createdAt }] as first stored
--
-- The plan is made once, perhaps while the table is empty, when all indexes look alike, and must stay good. So every
-- look-up in user_events asks for the first row in an order that one index alone has, and sorting and scanning are off:
-- there is only one way left. Compiling the plan just in time would take ten times as long as running it. Setting up the
-- nodes of a plan is a good part of a small batch, hence the plain shape: no sorts, and look-ups of ids stand apart.
CREATE FUNCTION append_events(p_bucket smallint, p_requests jsonb, p_events jsonb, p_repeatable boolean)
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
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  v_now := date_trunc('milliseconds', clock_timestamp());

  IF p_repeatable THEN
    -- What is stored already under ids of the batch, by request.
    SELECT jsonb_object_agg(known.n, jsonb_build_object('found', known.found, 'same', known.same AND known.in_order, 'stored', known.stored))
    INTO v_known
    FROM (
      SELECT event.n, count(*) AS found,
             bool_and(old."eventType" = event.type
               AND (old."schemaVersion" = event.schema OR NOT event.asked)
               AND old."eventData" = event.data
               AND old.metadata IS NOT DISTINCT FROM event.metadata
               AND old."occurredAt" IS NOT DISTINCT FROM event.occurred) AS same,
             min(old.version - event.i) = max(old.version - event.i) AS in_order,
             jsonb_agg(jsonb_build_object('version', old.version, 'position', old.position,
               'schemaVersion', old."schemaVersion", 'createdAt', old."createdAt") ORDER BY event.i) AS stored
      FROM jsonb_to_recordset(p_requests) AS r(n integer, tenant uuid, "user" uuid, repeatable boolean)
      JOIN jsonb_to_recordset(p_events)
        AS event(n integer, i integer, id uuid, type varchar, schema smallint, asked boolean, data jsonb, metadata jsonb, occurred timestamptz)
        ON event.n = r.n
      CROSS JOIN LATERAL (
        SELECT * FROM user_events e
        WHERE e.bucket = p_bucket AND e."aggregateId" = r."user" AND e.id >= event.id
        ORDER BY e.id LIMIT 1
      ) old
      WHERE r.repeatable AND old.id = event.id AND old."tenantId" = r.tenant
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
--> statement-breakpoint

-- roll_up_statistics: counts at most p_limit more events of a bucket into event_statistics and largest_users, and moves
-- the position of the worker `statistics`, all or none. Does nothing unless the worker's epoch is still p_epoch.
-- Returns the new position and how many events were counted; no row when the epoch has passed on.
--
-- The range is asked for in the order of the one index that has it: as a mere condition it looks like a third of the log.
--
-- largest_users stays exact although only the events of this step are looked at: the number of a user's events is its
-- version, it only grows, and whoever grows is looked at.
CREATE OR REPLACE FUNCTION roll_up_statistics(p_bucket smallint, p_epoch bigint, p_limit integer, p_largest integer)
RETURNS TABLE ("position" bigint, events bigint)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_from bigint;
  v_to bigint;
BEGIN
  SELECT w.position INTO v_from FROM workers w
  WHERE w.bucket = p_bucket AND w.name = 'statistics' AND w.epoch = p_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN; END IF;

  -- least() passes over null, and an empty log has no last position.
  SELECT least(coalesce(max(e.position), 0), v_from + p_limit) INTO v_to FROM user_events e WHERE e.bucket = p_bucket;
  IF v_to <= v_from THEN RETURN QUERY SELECT v_from, 0::bigint; RETURN; END IF;

  INSERT INTO event_statistics AS s (bucket, "tenantId", "eventType", events, users, oldest, newest)
  SELECT p_bucket, e."tenantId", e."eventType", count(*), count(*) FILTER (WHERE e.version = 1), min(e."createdAt"), max(e."createdAt")
  FROM (
    SELECT * FROM user_events
    WHERE bucket = p_bucket AND position > v_from AND position <= v_to
    ORDER BY position LIMIT p_limit
  ) e
  GROUP BY e."tenantId", e."eventType"
  ON CONFLICT (bucket, "tenantId", "eventType") DO UPDATE
  SET events = s.events + excluded.events, users = s.users + excluded.users,
      oldest = least(s.oldest, excluded.oldest), newest = greatest(s.newest, excluded.newest);

  INSERT INTO largest_users AS l (bucket, "aggregateId", events)
  SELECT p_bucket, e."aggregateId", max(e.version)
  FROM (
    SELECT * FROM user_events
    WHERE bucket = p_bucket AND position > v_from AND position <= v_to
    ORDER BY position LIMIT p_limit
  ) e
  GROUP BY e."aggregateId"
  HAVING max(e.version) > (
    SELECT CASE WHEN count(*) < p_largest THEN 0 ELSE min(k.events) END FROM largest_users k WHERE k.bucket = p_bucket)
  ORDER BY max(e.version) DESC LIMIT p_largest
  ON CONFLICT (bucket, "aggregateId") DO UPDATE SET events = excluded.events;

  DELETE FROM largest_users l USING (
    SELECT k."aggregateId" FROM largest_users k WHERE k.bucket = p_bucket
    ORDER BY k.events DESC, k."aggregateId" OFFSET p_largest
  ) beyond
  WHERE l.bucket = p_bucket AND l."aggregateId" = beyond."aggregateId";

  UPDATE workers w SET position = v_to WHERE w.bucket = p_bucket AND w.name = 'statistics';
  RETURN QUERY SELECT v_to, v_to - v_from;
END
$$;
--> statement-breakpoint

-- uncounted_statistics: what roll_up_statistics has not counted yet in a bucket, of one tenant or (null) of all.
-- STABLE: it sees the same moment as the statement that adds it to what is counted.
CREATE FUNCTION uncounted_statistics(p_bucket smallint, p_tenant uuid)
RETURNS TABLE ("eventType" varchar, events bigint, users bigint, oldest timestamptz, newest timestamptz)
LANGUAGE plpgsql STABLE
SET enable_sort = off
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_from bigint;
BEGIN
  SELECT coalesce(max(w.position), 0) INTO v_from FROM workers w WHERE w.bucket = p_bucket AND w.name = 'statistics';
  RETURN QUERY
  SELECT e."eventType", count(*), count(*) FILTER (WHERE e.version = 1), min(e."createdAt"), max(e."createdAt")
  FROM (
    SELECT * FROM user_events
    WHERE bucket = p_bucket AND position > v_from
    ORDER BY position OFFSET 0
  ) e
  WHERE p_tenant IS NULL OR e."tenantId" = p_tenant
  GROUP BY e."eventType";
END
$$;
