-- Functions that change or read the log, and the guard that keeps it append-only.

-- append_events: stores what it can of a batch of appends to one bucket, each request all or none.
--
-- Keeps true: versions of a user are 1..n without a gap; positions of a bucket are 1..n without a gap and in commit
-- order; createdAt never decreases within a user; nothing is stored for a request that is refused. It updates
-- nothing, so nothing bloats. One writer per bucket at a time, by an advisory lock that ends with the transaction; the
-- unique keys are the second lock. Needs READ COMMITTED: the statement after the lock must see what was committed
-- before the lock was got. A batch holds at most one request of a user.
--
-- p_requests: [{ n, tenant, user, expected, creates, repeatable, events: [{ id, type, schema, asked, data, metadata, occurred }] }]
--   n         number of the request in the batch, from 1
--   expected  version the user must have; -1 any, -2 at least one event
--   creates   whether the first event is the one that creates a user (the only place where the caller lets it stand)
--   repeatable  whether its ids may be stored already: the client chose them, or the request is sent again. Ids that were made
--             for this very call are not looked up.
--   asked     whether the client named the schema version; if not, a retry need not find the same
--
-- One row per request, in no order:
--   outcome   stored, duplicate, reused (ids), conflict, not_created, already_created, deleted, taken (by another tenant)
--   current   version of the user before this batch; 0 if the tenant has no such user
--   position, "createdAt"   of the first event, when stored; the others follow without a gap
--   stored    when duplicate: [{ version, position, schemaVersion, createdAt }] as first stored
--
-- The plan is made once, perhaps while the table is empty, when all indexes look alike, and must stay good. So every
-- look-up in user_events asks for the first row in an order that one index alone has, and sorting and scanning are off:
-- there is only one way left. Compiling the plan just in time would take ten times as long as running it.
CREATE FUNCTION append_events(p_bucket smallint, p_requests jsonb)
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
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  v_now := date_trunc('milliseconds', clock_timestamp());

  RETURN QUERY
  WITH request AS MATERIALIZED (
    SELECT r.n, r.tenant, r."user", r.expected, r.creates, r.repeatable, r.events,
           head.version AS head_version, head."tenantId" AS head_tenant, head."eventType" AS head_type, head."createdAt" AS head_created,
           CASE WHEN head."tenantId" = r.tenant THEN head.version ELSE 0 END AS current
    FROM jsonb_to_recordset(p_requests) AS r(n integer, tenant uuid, "user" uuid, expected integer, creates boolean, repeatable boolean, events jsonb)
    LEFT JOIN LATERAL (
      SELECT e.version, e."tenantId", e."eventType", e."createdAt"
      FROM user_events e
      WHERE e.bucket = p_bucket AND e."aggregateId" = r."user"
      ORDER BY e.version DESC LIMIT 1
    ) head ON true
  ), event AS MATERIALIZED (
    SELECT request.n, request."user", request.tenant, request.current, request.repeatable, item.ordinality::integer AS i, e.*
    FROM request
    CROSS JOIN LATERAL jsonb_array_elements(request.events) WITH ORDINALITY AS item(value, ordinality)
    CROSS JOIN LATERAL jsonb_to_record(item.value)
      AS e(id uuid, type varchar, schema smallint, asked boolean, data jsonb, metadata jsonb, occurred timestamptz)
  ), known AS (
    -- Events of the batch whose ids the user already has.
    SELECT event.n,
           count(*) AS found,
           bool_and(old."eventType" = event.type
             AND (old."schemaVersion" = event.schema OR NOT event.asked)
             AND old."eventData" = event.data
             AND old.metadata IS NOT DISTINCT FROM event.metadata
             AND old."occurredAt" IS NOT DISTINCT FROM event.occurred) AS same,
           min(old.version - event.i) = max(old.version - event.i) AS in_order,
           jsonb_agg(jsonb_build_object('version', old.version, 'position', old.position,
             'schemaVersion', old."schemaVersion", 'createdAt', old."createdAt") ORDER BY event.i) AS stored
    FROM event
    CROSS JOIN LATERAL (
      SELECT * FROM user_events e
      WHERE e.bucket = p_bucket AND e."aggregateId" = event."user" AND e.id >= event.id
      ORDER BY e.id LIMIT 1
    ) old
    WHERE event.repeatable AND event.current > 0 AND old.id = event.id
    GROUP BY event.n
  ), decided AS (
    SELECT request.*, known.stored,
           CASE
             WHEN known.found = jsonb_array_length(request.events) AND known.same AND known.in_order THEN 'duplicate'
             WHEN known.found > 0 THEN 'reused'
             WHEN request.expected >= 0 AND request.expected <> request.current
               OR request.expected = -2 AND request.current = 0 THEN 'conflict'
             WHEN request.current = 0 AND NOT request.creates THEN 'not_created'
             WHEN request.current > 0 AND request.head_type = 'UserDeleted' THEN 'deleted'
             WHEN request.current > 0 AND request.creates THEN 'already_created'
             WHEN request.head_tenant <> request.tenant THEN 'taken'
             ELSE 'stored'
           END AS outcome
    FROM request LEFT JOIN known ON known.n = request.n
  ), placed AS MATERIALIZED (
    -- First position and time of every request; the refused ones take no place.
    SELECT decided.n, decided."user", decided.current, decided.outcome, decided.stored,
           greatest(v_now, decided.head_created) AS created,
           coalesce((SELECT e.position FROM user_events e WHERE e.bucket = p_bucket ORDER BY e.position DESC LIMIT 1), 0) + 1
             + coalesce(sum(CASE WHEN decided.outcome = 'stored' THEN jsonb_array_length(decided.events) ELSE 0 END)
                 OVER (ORDER BY decided.n ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS first
    FROM decided
  ), inserted AS (
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion",
                             "eventData", metadata, "tenantId", "occurredAt", "createdAt")
    SELECT p_bucket, placed.first + event.i - 1, event.id, event."user", placed.current + event.i, event.type, event.schema,
           event.data, event.metadata, event.tenant, event.occurred, placed.created
    FROM placed JOIN event ON event.n = placed.n
    WHERE placed.outcome = 'stored'
  )
  SELECT placed.n, placed.outcome, placed.current,
         CASE WHEN placed.outcome = 'stored' THEN placed.first END::bigint,
         CASE WHEN placed.outcome = 'stored' THEN placed.created END,
         CASE WHEN placed.outcome = 'duplicate' THEN placed.stored END
  FROM placed;
END
$$;
--> statement-breakpoint

-- user_version_at: version of a user's last event recorded at or before p_at; 0 if there was none yet.
-- createdAt never decreases within a user, so it halves the range: some 17 look-ups for 100,000 events.
CREATE FUNCTION user_version_at(p_bucket smallint, p_user uuid, p_at timestamptz)
RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_low integer := 0;
  v_high integer;
  v_middle integer;
BEGIN
  SELECT max(e.version) INTO v_high FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = p_user;
  WHILE v_low < v_high LOOP
    v_middle := v_low + (v_high - v_low + 1) / 2;
    IF (SELECT e."createdAt" <= p_at FROM user_events e
        WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version >= v_middle
        ORDER BY e.version LIMIT 1) THEN
      v_low := v_middle;
    ELSE
      v_high := v_middle - 1;
    END IF;
  END LOOP;
  RETURN v_low;
END
$$;
--> statement-breakpoint

-- roll_up_statistics: counts at most p_limit more events of a bucket into event_statistics and largest_users, and moves
-- the position of the worker `statistics`, all or none. Does nothing unless the worker's epoch is still p_epoch.
-- Returns the new position and how many events were counted; no row when the epoch has passed on.
--
-- largest_users stays exact although only the events of this step are looked at: the number of a user's events is its
-- version, it only grows, and whoever grows is looked at.
CREATE FUNCTION roll_up_statistics(p_bucket smallint, p_epoch bigint, p_limit integer, p_largest integer)
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
  FROM user_events e
  WHERE e.bucket = p_bucket AND e.position > v_from AND e.position <= v_to
  GROUP BY e."tenantId", e."eventType"
  ON CONFLICT (bucket, "tenantId", "eventType") DO UPDATE
  SET events = s.events + excluded.events, users = s.users + excluded.users,
      oldest = least(s.oldest, excluded.oldest), newest = greatest(s.newest, excluded.newest);

  INSERT INTO largest_users AS l (bucket, "aggregateId", events)
  SELECT p_bucket, e."aggregateId", max(e.version)
  FROM user_events e
  WHERE e.bucket = p_bucket AND e.position > v_from AND e.position <= v_to
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

-- The log is append-only. The one way round it is a maintenance job of the service itself, which names itself in the
-- setting user_event_store.maintenance for the length of its transaction.
CREATE FUNCTION refuse_change() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF coalesce(current_setting('user_event_store.maintenance', true), '') <> '' THEN RETURN NULL; END IF;
  RAISE EXCEPTION '% of % is refused: events are never changed or removed', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'restrict_violation', HINT = 'Append an event that corrects the mistake.';
END
$$;
--> statement-breakpoint

CREATE TRIGGER user_events_append_only
BEFORE UPDATE OR DELETE OR TRUNCATE ON user_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
