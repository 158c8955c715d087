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
-- whoever looks which event of a user is the first sees all that came before. Rows are looked up by user and position: the
-- one order that the key has, so that no plan reads all that a subscription owes for each of its users.

-- release_owed: of each user given, the first event that blocks the others becomes due, unless it has a time already.
--
-- p_wait    whether a dead event blocks the later ones of its user; else only pending ones do
CREATE FUNCTION release_owed(p_bucket smallint, p_subscription uuid, p_users uuid[], p_wait boolean)
RETURNS void
LANGUAGE sql VOLATILE
AS $$
  UPDATE event_outbox o SET "nextAttemptAt" = date_trunc('milliseconds', clock_timestamp())
  FROM unnest(p_users) AS u(id), LATERAL (
    SELECT h.ctid AS place FROM event_outbox h
    WHERE h.bucket = p_bucket AND h."subscriptionId" = p_subscription AND h."aggregateId" = u.id
      AND (h.status = 'pending' OR (p_wait AND h.status = 'dead'))
    ORDER BY h.position LIMIT 1) first
  -- By its place, which this statement has just seen and nobody else changes under the lock: to find it by its key once more, a
  -- plan that takes the users for few reads all that is owed for each of them.
  WHERE o.ctid = first.place AND o.status = 'pending' AND o."nextAttemptAt" IS NULL
$$;
--> statement-breakpoint

-- record_relay: moves the checkpoint of a subscription to p_position and notes what it passed without delivering it.
--
-- Keeps true: every event up to the checkpoint is delivered or stands in event_outbox; only the holder of p_epoch moves it,
-- and only forward. Returns whether it did; if not, nothing is changed.
--
-- p_owed    [{ position, user, version, error, delayMs }]; error is null for an event that was not sent
CREATE FUNCTION record_relay(
  p_bucket smallint, p_subscription uuid, p_epoch bigint, p_position bigint, p_owed jsonb, p_wait boolean, p_attempts_max integer)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
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
      CASE WHEN o.error IS NOT NULL AND p_attempts_max = 1 THEN 'dead' ELSE 'pending' END,
      CASE WHEN o.error IS NULL THEN 0 ELSE 1 END,
      CASE WHEN o.error IS NOT NULL AND p_attempts_max > 1
        THEN date_trunc('milliseconds', clock_timestamp() + o."delayMs" * interval '1 millisecond') END,
      o.error
    FROM jsonb_to_recordset(p_owed) AS o(position bigint, "user" uuid, version integer, error text, "delayMs" integer)
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
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  PERFORM FROM workers w
  WHERE w.bucket = 0 AND w.name = 'subscription/' || p_subscription || '/retry' AND w.epoch = p_epoch FOR UPDATE;
  IF NOT FOUND THEN RETURN false; END IF;

  DELETE FROM event_outbox o
  USING jsonb_to_recordset(p_results) AS r(position bigint, "user" uuid, error text)
  WHERE o.bucket = p_bucket AND o."subscriptionId" = p_subscription AND o."aggregateId" = r."user" AND o.position = r.position
    AND o.status = 'pending' AND r.error IS NULL;

  UPDATE event_outbox o
  SET attempts = o.attempts + r.counts, "lastError" = r.error,
      status = CASE WHEN o.attempts + r.counts >= p_attempts_max THEN 'dead' ELSE 'pending' END,
      "nextAttemptAt" = CASE WHEN o.attempts + r.counts < p_attempts_max
        THEN date_trunc('milliseconds', clock_timestamp() + r."delayMs" * interval '1 millisecond') END
  FROM jsonb_to_recordset(p_results) AS r(position bigint, "user" uuid, error text, "delayMs" integer, counts integer)
  WHERE o.bucket = p_bucket AND o."subscriptionId" = p_subscription AND o."aggregateId" = r."user" AND o.position = r.position
    AND o.status = 'pending' AND r.error IS NOT NULL;

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
AS $$
#variable_conflict use_column
DECLARE
  v_changed jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  WITH chosen AS (
    SELECT o.bucket, o."aggregateId", o.position FROM event_outbox o
    WHERE o."subscriptionId" = p_subscription
      AND (o.status = 'dead' OR (o.status = 'pending' AND o."nextAttemptAt" > clock_timestamp()))
      AND (p_user IS NULL OR o."aggregateId" = p_user) AND (p_version IS NULL OR o.version = p_version)
    ORDER BY o.position LIMIT p_limit
  ), changed AS (
    UPDATE event_outbox o
    SET attempts = CASE o.status WHEN 'dead' THEN 0 ELSE o.attempts END, status = 'pending', "nextAttemptAt" = NULL
    FROM chosen c
    WHERE o.bucket = c.bucket AND o."subscriptionId" = p_subscription AND o."aggregateId" = c."aggregateId" AND o.position = c.position
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
AS $$
#variable_conflict use_column
DECLARE
  v_changed jsonb;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  WITH chosen AS (
    SELECT o.bucket, o."aggregateId", o.position FROM event_outbox o
    WHERE o."subscriptionId" = p_subscription
      AND (o.status = 'dead' OR (o.status = 'pending' AND p_version IS NOT NULL))
      AND (p_user IS NULL OR o."aggregateId" = p_user) AND (p_version IS NULL OR o.version = p_version)
    ORDER BY o.position LIMIT p_limit
  ), changed AS (
    UPDATE event_outbox o SET status = 'discarded', "nextAttemptAt" = NULL, "lastError" = p_reason
    FROM chosen c
    WHERE o.bucket = c.bucket AND o."subscriptionId" = p_subscription AND o."aggregateId" = c."aggregateId" AND o.position = c.position
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
-- Keeps true: what a relay had in hand at that moment moves nothing any more, for its epoch has passed.
CREATE FUNCTION reset_subscription(p_subscription uuid, p_start bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  UPDATE workers w SET epoch = w.epoch + 1, "leaseUntil" = '-infinity', holder = '00000000-0000-0000-0000-000000000000'
  WHERE w.bucket = 0 AND w.name IN ('subscription/' || p_subscription, 'subscription/' || p_subscription || '/retry');
  UPDATE subscription_checkpoints c
  SET position = coalesce(p_start, (SELECT max(e.position) FROM user_events e WHERE e.bucket = c.bucket), 0)
  WHERE c."subscriptionId" = p_subscription;
  DELETE FROM event_outbox o WHERE o."subscriptionId" = p_subscription;
  UPDATE subscriptions s
  SET state = 'new', "lastError" = NULL, "stateSince" = date_trunc('milliseconds', clock_timestamp())
  WHERE s.id = p_subscription AND s.state <> 'paused';
END
$$;
--> statement-breakpoint

-- delete_subscription: removes a subscription with all it had. Returns whether it was there.
CREATE FUNCTION delete_subscription(p_subscription uuid)
RETURNS boolean
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
DECLARE
  v_found boolean;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365814, hashtext(p_subscription::text));
  DELETE FROM event_outbox o WHERE o."subscriptionId" = p_subscription;
  DELETE FROM subscription_checkpoints c WHERE c."subscriptionId" = p_subscription;
  DELETE FROM subscriptions s WHERE s.id = p_subscription;
  v_found := FOUND;
  -- Also of those deleted before, whose instances may have taken a lease once more before they heard of it.
  DELETE FROM workers w WHERE w.name LIKE 'subscription/%'
    AND NOT EXISTS (SELECT FROM subscriptions s WHERE w.name LIKE 'subscription/' || s.id || '%');
  RETURN v_found;
END
$$;
