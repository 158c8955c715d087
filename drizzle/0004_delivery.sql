CREATE TABLE "event_outbox" (
	"bucket" smallint NOT NULL,
	"subscriptionId" uuid NOT NULL,
	"position" bigint NOT NULL,
	"aggregateId" uuid NOT NULL,
	"version" integer NOT NULL,
	"status" varchar(10) NOT NULL,
	"attempts" integer NOT NULL,
	"nextAttemptAt" timestamp (3) with time zone,
	"lastError" text,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "event_outbox_pkey" PRIMARY KEY("bucket","subscriptionId","aggregateId","position"),
	CONSTRAINT "event_outbox_status_check" CHECK ("event_outbox"."status" IN ('pending', 'dead', 'discarded'))
);
--> statement-breakpoint
CREATE TABLE "subscription_checkpoints" (
	"bucket" smallint NOT NULL,
	"subscriptionId" uuid NOT NULL,
	"position" bigint NOT NULL,
	CONSTRAINT "subscription_checkpoints_pkey" PRIMARY KEY("bucket","subscriptionId")
);
--> statement-breakpoint
CREATE TABLE "subscriptions" (
	"id" uuid NOT NULL,
	"tenantId" uuid,
	"name" varchar(100) NOT NULL,
	"definition" jsonb NOT NULL,
	"state" varchar(10) DEFAULT 'new' NOT NULL,
	"lastError" text,
	"stateSince" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	"createdAt" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "subscriptions_pkey" PRIMARY KEY("id"),
	CONSTRAINT "subscriptions_name_key" UNIQUE NULLS NOT DISTINCT("name","tenantId"),
	CONSTRAINT "subscriptions_state_check" CHECK ("subscriptions"."state" IN ('new', 'active', 'paused', 'failing', 'stopped'))
);
--> statement-breakpoint
CREATE INDEX "IDX_EVENT_OUTBOX_DUE" ON "event_outbox" USING btree ("bucket","subscriptionId","nextAttemptAt") WHERE "nextAttemptAt" IS NOT NULL;--> statement-breakpoint
CREATE INDEX "IDX_EVENT_OUTBOX_STATUS" ON "event_outbox" USING btree ("subscriptionId","status","position");
--> statement-breakpoint

-- Every function below that changes what a subscription owes holds one advisory lock for that subscription first, so that
-- whoever looks which event of a user is the first sees all that came before.
--
-- A subscription may owe a million events a minute after it owed none, and statistics then say nothing of them. So rows are
-- looked up one by one, by user and position, the order that the key has (LIMIT 1 lets no plan turn that round and read all
-- that is owed), and are then changed by their places: an array of them, since a join with places could be turned round as
-- well, which took minutes. The same statement has just seen them, and nobody else changes them under the lock. Plans are made
-- for each call: one from when the table was empty would read all of it.

-- release_owed: of each user given, the first event that blocks the others becomes due, unless it has a time already.
--
-- p_wait    whether a dead event blocks the later ones of its user; else only pending ones do
CREATE FUNCTION release_owed(p_bucket smallint, p_subscription uuid, p_users uuid[], p_wait boolean)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
  UPDATE event_outbox o SET "nextAttemptAt" = date_trunc('milliseconds', clock_timestamp())
  WHERE o.ctid = ANY (ARRAY(
    SELECT first.place FROM unnest(p_users) AS u(id), LATERAL (
      SELECT h.ctid AS place, h.status, h."nextAttemptAt" FROM event_outbox h
      WHERE h.bucket = p_bucket AND h."subscriptionId" = p_subscription AND h."aggregateId" = u.id
        AND (h.status = 'pending' OR (p_wait AND h.status = 'dead'))
      ORDER BY h.position LIMIT 1) first
    WHERE first.status = 'pending' AND first."nextAttemptAt" IS NULL))
$$;
--> statement-breakpoint

-- record_relay: moves the checkpoint of a subscription to p_position and notes what it passed without delivering it.
--
-- Keeps true: every event up to the checkpoint is delivered or stands in event_outbox; only the holder of p_epoch moves it,
-- and only forward. Returns whether it did; if not, nothing is changed.
--
-- p_owed    [{ position, user, version, error, delayMs, counts }]; error is null for an event that was not sent; counts is 0 when
--           the try says nothing about the event
CREATE FUNCTION record_relay(
  p_bucket smallint, p_subscription uuid, p_epoch bigint, p_position bigint, p_owed jsonb, p_wait boolean, p_attempts_max integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  PERFORM FROM workers w
  WHERE w.bucket = 0 AND w.name = 'subscription/' || p_subscription AND w.epoch = p_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;

  UPDATE subscription_checkpoints c SET position = p_position
  WHERE c.bucket = p_bucket AND c."subscriptionId" = p_subscription AND c.position <= p_position;
  IF NOT FOUND THEN RETURN false; END IF;

  IF jsonb_array_length(p_owed) > 0 THEN
    INSERT INTO event_outbox (bucket, "subscriptionId", position, "aggregateId", version, status, attempts, "nextAttemptAt", "lastError")
    SELECT p_bucket, p_subscription, o.position, o."user", o.version,
      CASE WHEN o.counts >= p_attempts_max THEN 'dead' ELSE 'pending' END,
      o.counts,
      CASE WHEN o.error IS NOT NULL AND o.counts < p_attempts_max
        THEN date_trunc('milliseconds', clock_timestamp() + o."delayMs" * interval '1 millisecond') END,
      o.error
    FROM jsonb_to_recordset(p_owed) AS o(position bigint, "user" uuid, version integer, error text, "delayMs" integer, counts integer)
    ON CONFLICT DO NOTHING;
    -- What the first of them waited for may have been delivered meanwhile.
    PERFORM release_owed(p_bucket, p_subscription,
      ARRAY(SELECT DISTINCT (o->>'user')::uuid FROM jsonb_array_elements(p_owed) o), p_wait);
  END IF;
  RETURN true;
END
$$;
--> statement-breakpoint

-- settle_owed: notes what came of owed events that were sent again.
--
-- Keeps true: an event leaves event_outbox only after it was delivered; one that was tried p_attempts_max times is dead;
-- only the holder of p_epoch writes. Returns whether it did.
--
-- p_results [{ position, user, error, delayMs, counts }]; error is null for one that was delivered; counts is 0 when the try
--           says nothing about the event
CREATE FUNCTION settle_owed(
  p_bucket smallint, p_subscription uuid, p_epoch bigint, p_results jsonb, p_wait boolean, p_attempts_max integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  PERFORM FROM workers w
  WHERE w.bucket = 0 AND w.name = 'subscription/' || p_subscription || '/retry' AND w.epoch = p_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;

  DELETE FROM event_outbox o
  WHERE o.ctid = ANY (ARRAY(
    SELECT one.place FROM jsonb_to_recordset(p_results) AS r(position bigint, "user" uuid, error text), LATERAL (
      SELECT h.ctid AS place FROM event_outbox h
      WHERE h.bucket = p_bucket AND h."subscriptionId" = p_subscription AND h."aggregateId" = r."user"
        AND h.position = r.position AND h.status = 'pending' LIMIT 1) one
    WHERE r.error IS NULL));

  UPDATE event_outbox o
  SET attempts = o.attempts + r.counts, "lastError" = r.error,
      status = CASE WHEN o.attempts + r.counts >= p_attempts_max THEN 'dead' ELSE 'pending' END,
      "nextAttemptAt" = CASE WHEN o.attempts + r.counts < p_attempts_max
        THEN date_trunc('milliseconds', clock_timestamp() + r."delayMs" * interval '1 millisecond') END
  FROM jsonb_to_recordset(p_results) AS r(position bigint, "user" uuid, error text, "delayMs" integer, counts integer)
  WHERE o.ctid = ANY (ARRAY(
    SELECT one.place FROM jsonb_to_recordset(p_results) AS f(position bigint, "user" uuid, error text), LATERAL (
      SELECT h.ctid AS place FROM event_outbox h
      WHERE h.bucket = p_bucket AND h."subscriptionId" = p_subscription AND h."aggregateId" = f."user"
        AND h.position = f.position AND h.status = 'pending' LIMIT 1) one
    WHERE f.error IS NOT NULL))
    AND o."aggregateId" = r."user" AND o.position = r.position;

  PERFORM release_owed(p_bucket, p_subscription,
    ARRAY(SELECT DISTINCT (r->>'user')::uuid FROM jsonb_array_elements(p_results) r), p_wait);
  RETURN true;
END
$$;
--> statement-breakpoint

-- retry_owed: has dead events tried anew, and those that wait for their next try tried at once; at most p_limit.
--
-- p_user, p_version   only this user's, only this event; null: all
-- Returns how many there were.
CREATE FUNCTION retry_owed(p_subscription uuid, p_user uuid, p_version integer, p_limit integer, p_wait boolean)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  v_now timestamptz;
  v_changed jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  v_now := clock_timestamp();
  WITH dead AS (
    SELECT o.ctid AS place, o.position FROM event_outbox o
    WHERE o."subscriptionId" = p_subscription AND o.status = 'dead'
      AND (p_user IS NULL OR o."aggregateId" = p_user) AND (p_version IS NULL OR o.version = p_version)
    ORDER BY o.position LIMIT p_limit
  ), waiting AS (
    SELECT o.place, o.position FROM subscription_checkpoints c, LATERAL (
      SELECT w.ctid AS place, w.position FROM event_outbox w
      WHERE w.bucket = c.bucket AND w."subscriptionId" = p_subscription AND w."nextAttemptAt" > v_now
        AND (p_user IS NULL OR w."aggregateId" = p_user) AND (p_version IS NULL OR w.version = p_version)
      ORDER BY w."nextAttemptAt" LIMIT p_limit) o
    WHERE c."subscriptionId" = p_subscription LIMIT p_limit
  ), chosen AS (
    SELECT place FROM (TABLE dead UNION ALL TABLE waiting) each ORDER BY position LIMIT p_limit
  ), changed AS (
    UPDATE event_outbox o
    SET attempts = CASE o.status WHEN 'dead' THEN 0 ELSE o.attempts END, status = 'pending', "nextAttemptAt" = NULL
    WHERE o.ctid = ANY (ARRAY(SELECT place FROM chosen))
    RETURNING o.bucket, o."aggregateId" AS "user"
  )
  SELECT coalesce(jsonb_agg(changed), '[]') INTO v_changed FROM changed;

  PERFORM release_owed(c.bucket, p_subscription, array_agg(DISTINCT c."user"), p_wait)
  FROM jsonb_to_recordset(v_changed) AS c(bucket smallint, "user" uuid) GROUP BY c.bucket;
  RETURN jsonb_array_length(v_changed);
END
$$;
--> statement-breakpoint

-- discard_owed: gives dead events up, and a pending one if it is named; they stay in event_outbox with the reason.
--
-- p_user, p_version   as for retry_owed
-- Returns how many there were.
CREATE FUNCTION discard_owed(p_subscription uuid, p_user uuid, p_version integer, p_reason text, p_limit integer, p_wait boolean)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  v_changed jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  WITH chosen AS (
    SELECT o.ctid AS place FROM event_outbox o
    WHERE o."subscriptionId" = p_subscription
      AND (o.status = 'dead' OR (o.status = 'pending' AND p_version IS NOT NULL))
      AND (p_user IS NULL OR o."aggregateId" = p_user) AND (p_version IS NULL OR o.version = p_version)
    ORDER BY o.position LIMIT p_limit
  ), changed AS (
    UPDATE event_outbox o SET status = 'discarded', "nextAttemptAt" = NULL, "lastError" = p_reason
    WHERE o.ctid = ANY (ARRAY(SELECT place FROM chosen))
    RETURNING o.bucket, o."aggregateId" AS "user"
  )
  SELECT coalesce(jsonb_agg(changed), '[]') INTO v_changed FROM changed;

  PERFORM release_owed(c.bucket, p_subscription, array_agg(DISTINCT c."user"), p_wait)
  FROM jsonb_to_recordset(v_changed) AS c(bucket smallint, "user" uuid) GROUP BY c.bucket;
  RETURN jsonb_array_length(v_changed);
END
$$;
--> statement-breakpoint

-- create_subscription: stores a subscription with a checkpoint in every bucket.
--
-- p_start   position to start after; null: the end of the log now
-- Returns created, same (under this id: the call was repeated), exists (the name is taken), full
CREATE FUNCTION create_subscription(
  p_id uuid, p_tenant uuid, p_name varchar, p_definition jsonb, p_start bigint, p_buckets integer, p_max integer)
RETURNS text
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_known text;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365813);
  SELECT CASE WHEN s.id = p_id THEN 'same' ELSE 'exists' END INTO v_known FROM subscriptions s
  WHERE s.name = p_name AND s."tenantId" IS NOT DISTINCT FROM p_tenant;
  IF v_known IS NOT NULL THEN RETURN v_known; END IF;
  IF (SELECT count(*) FROM subscriptions) >= p_max THEN RETURN 'full'; END IF;

  INSERT INTO subscriptions (id, "tenantId", name, definition) VALUES (p_id, p_tenant, p_name, p_definition);
  INSERT INTO subscription_checkpoints (bucket, "subscriptionId", position)
  SELECT b.bucket, p_id, coalesce(p_start, (SELECT max(e.position) FROM user_events e WHERE e.bucket = b.bucket), 0)
  FROM generate_series(0, p_buckets - 1) AS b(bucket);
  RETURN 'created';
END
$$;
--> statement-breakpoint

-- reset_subscription: has a subscription start again from p_start (null: the end of the log) and forget what it owes.
--
-- It gets another id, p_next, and so owes nothing, however much there was: sweep_owed removes that. What its workers had in
-- hand at that moment moves nothing any more, for there is no checkpoint and no lease under the old id.
CREATE FUNCTION reset_subscription(p_subscription uuid, p_next uuid, p_start bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  UPDATE subscriptions s
  SET id = p_next, state = CASE s.state WHEN 'paused' THEN s.state ELSE 'new' END, "lastError" = NULL,
      "stateSince" = CASE s.state WHEN 'paused' THEN s."stateSince" ELSE date_trunc('milliseconds', clock_timestamp()) END
  WHERE s.id = p_subscription;
  UPDATE subscription_checkpoints c
  SET "subscriptionId" = p_next,
      position = coalesce(p_start, (SELECT max(e.position) FROM user_events e WHERE e.bucket = c.bucket), 0)
  WHERE c."subscriptionId" = p_subscription;
  DELETE FROM workers w
  WHERE w.bucket = 0 AND w.name IN ('subscription/' || p_subscription, 'subscription/' || p_subscription || '/retry');
END
$$;
--> statement-breakpoint

-- delete_subscription: removes a subscription; what it owed is left to sweep_owed. Returns whether it was there.
CREATE FUNCTION delete_subscription(p_subscription uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_found boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  DELETE FROM subscription_checkpoints c WHERE c."subscriptionId" = p_subscription;
  DELETE FROM subscriptions s WHERE s.id = p_subscription;
  v_found := FOUND;
  DELETE FROM workers w
  WHERE w.bucket = 0 AND w.name IN ('subscription/' || p_subscription, 'subscription/' || p_subscription || '/retry');
  RETURN v_found;
END
$$;
--> statement-breakpoint

-- sweep_owed: removes at most p_limit events that are owed by nobody any more, for their subscription was deleted or reset.
--
-- Returns how many it removed; when less than p_limit, nothing is left but what another call is removing now.
CREATE FUNCTION sweep_owed(p_limit integer)
RETURNS integer
LANGUAGE plpgsql VOLATILE
SET plan_cache_mode = force_custom_plan
AS $$
#variable_conflict use_column
DECLARE
  v_id uuid := '00000000-0000-0000-0000-000000000000';
  v_removed integer := 0;
  v_count integer;
BEGIN
  -- Instances may have taken a lease once more before they heard of it.
  DELETE FROM workers w WHERE w.name LIKE 'subscription/%' AND w."leaseUntil" < clock_timestamp()
    AND NOT EXISTS (SELECT FROM subscriptions s WHERE w.name LIKE 'subscription/' || s.id || '%');
  WHILE v_removed < p_limit LOOP
    -- The next id in the index, over all that is owed under the one before.
    SELECT o."subscriptionId" INTO v_id FROM event_outbox o WHERE o."subscriptionId" > v_id ORDER BY o."subscriptionId" LIMIT 1;
    EXIT WHEN NOT FOUND;
    CONTINUE WHEN EXISTS (SELECT FROM subscriptions s WHERE s.id = v_id);
    DELETE FROM event_outbox o WHERE o.ctid = ANY (ARRAY(
      SELECT c.ctid FROM event_outbox c WHERE c."subscriptionId" = v_id LIMIT p_limit - v_removed FOR UPDATE SKIP LOCKED));
    GET DIAGNOSTICS v_count = ROW_COUNT;
    v_removed := v_removed + v_count;
  END LOOP;
  RETURN v_removed;
END
$$;
