CREATE TABLE "unique_claims" (
	"field" varchar(20) NOT NULL,
	"since" timestamp (3) with time zone DEFAULT date_trunc('milliseconds', now()) NOT NULL,
	CONSTRAINT "unique_claims_pkey" PRIMARY KEY("field")
);
--> statement-breakpoint
CREATE TABLE "user_claims" (
	"tenantId" uuid NOT NULL,
	"field" varchar(20) NOT NULL,
	"value" text NOT NULL,
	"userId" uuid NOT NULL,
	CONSTRAINT "user_claims_pkey" PRIMARY KEY("tenantId","field","value"),
	CONSTRAINT "user_claims_user_key" UNIQUE("userId","field")
);

--> statement-breakpoint

-- claims_of: what an event says about the fields that can be unique: the value that the user has from now on, as it is compared
-- with those of others, or null if the user has none any more. No row for a field that it leaves as it is.
--
-- This is the only place that knows which events set a field and which values count as one: in any case, and however
-- Unicode composes them; as far as lower() goes, that is what the directory of users does too.
CREATE FUNCTION claims_of(p_type varchar, p_data jsonb)
RETURNS TABLE (field text, value text)
LANGUAGE sql IMMUTABLE
AS $$
  SELECT f.name, CASE WHEN p_type <> 'UserDeleted' THEN lower(normalize(p_data ->> f.name, NFC)) END
  FROM (VALUES ('username'), ('email')) AS f(name)
  WHERE p_type = 'UserDeleted' OR p_type IN ('UserCreated', 'UserUpdated') AND p_data ? f.name
$$;
--> statement-breakpoint

-- record_claims: takes values that are known to be free for the users named, in place of the ones they had, and lets go of others.
--
-- p_claims  [{ tenant, user, field, value }], each field of a user once; value is null to let go
CREATE FUNCTION record_claims(p_claims jsonb)
RETURNS void
LANGUAGE sql VOLATILE
SET enable_seqscan = off
SET enable_hashjoin = off
SET enable_mergejoin = off
AS $$
  -- All that is let go first: one user may take what another gave away.
  DELETE FROM user_claims held USING jsonb_to_recordset(p_claims) AS c("user" uuid, field text, value text)
  WHERE held."userId" = c."user" AND held.field = c.field AND held.value IS DISTINCT FROM c.value;

  INSERT INTO user_claims ("tenantId", field, value, "userId")
  SELECT c.tenant, c.field, c.value, c."user"
  FROM jsonb_to_recordset(p_claims) AS c(tenant uuid, "user" uuid, field text, value text)
  WHERE c.value IS NOT NULL
  ON CONFLICT ON CONSTRAINT user_claims_user_key DO NOTHING;
$$;
--> statement-breakpoint

-- numbered: those elements of a list of { n, … } whose n is among p_numbers.
CREATE FUNCTION numbered(p_list jsonb, p_numbers integer[])
RETURNS jsonb
LANGUAGE sql IMMUTABLE
AS $$
  SELECT coalesce(jsonb_agg(e), '[]') FROM jsonb_array_elements(p_list) AS e WHERE (e ->> 'n')::integer = ANY (p_numbers)
$$;
--> statement-breakpoint

-- append_claiming_events: append_events in a store in which fields of users are unique. Arguments and rows are the same, with
-- one more outcome: claimed, when the request is fit to be stored but a value it gives its user is another's; field names which.
--
-- Keeps true, besides what append_events does: user_claims holds what the users who are not deleted have in the fields of
-- unique_claims, and no value twice in a tenant. Only what is stored takes or lets go; all in the transaction that stores it.
--
-- The lock of the bucket comes first, as in append_events, then the one lock of all claims, and only if there are any: values
-- are unique across buckets. Always in this order, so nobody waits in a circle. Of requests in one batch that want one value
-- the first that is fit gets it. A value that a request of the batch lets go is free for the next batch.
CREATE FUNCTION append_claiming_events(p_bucket smallint, p_requests jsonb, p_events jsonb, p_repeatable boolean)
RETURNS TABLE (n integer, outcome text, current integer, "position" bigint, "createdAt" timestamptz, stored jsonb, field text)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_claims jsonb;
  v_contested integer[];
  v_repeated integer[] := '{}';
  v_taken text[] := '{}';
  v_lost integer[] := '{}';
  v_stored integer[] := '{}';
  v_row record;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  PERFORM set_config('user_event_store.claims', 'kept', true);

  -- What each request leaves its user with: the last word on each field.
  SELECT jsonb_agg(claim) INTO v_claims
  FROM (
    SELECT DISTINCT ON (e.n, c.field) e.n, r.tenant, r."user", c.field, c.value
    FROM jsonb_to_recordset(p_events) AS e(n integer, i integer, type varchar, data jsonb)
    JOIN jsonb_to_recordset(p_requests) AS r(n integer, tenant uuid, "user" uuid) ON r.n = e.n
    CROSS JOIN LATERAL claims_of(e.type, e.data) c
    JOIN unique_claims kept ON kept.field = c.field
    ORDER BY e.n, c.field, e.i DESC
  ) claim;
  IF v_claims IS NULL THEN
    RETURN QUERY SELECT a.*, NULL::text FROM append_events(p_bucket, p_requests, p_events, p_repeatable) a;
    PERFORM set_config('user_event_store.claims', '', true);
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(1970365815);

  SELECT array_agg(DISTINCT wanted.n) INTO v_contested
  FROM (
    SELECT c.n, c."user", count(*) OVER (PARTITION BY c.tenant, c.field, c.value) AS times, held."userId" AS holder
    FROM jsonb_to_recordset(v_claims) AS c(n integer, tenant uuid, "user" uuid, field text, value text)
    LEFT JOIN LATERAL (
      SELECT h."userId" FROM user_claims h WHERE h."tenantId" = c.tenant AND h.field = c.field AND h.value = c.value LIMIT 1
    ) held ON true
    WHERE c.value IS NOT NULL
  ) wanted
  WHERE wanted.times > 1 OR wanted.holder <> wanted."user";

  IF v_contested IS NOT NULL THEN
    -- What append_events would say of them if it stored nothing. Ids are looked up under a version that nobody has.
    IF p_repeatable THEN
      SELECT coalesce(array_agg(a.n), '{}') INTO v_repeated
      FROM append_events(
        p_bucket,
        (SELECT jsonb_agg(r || '{"expected": 2147483647}') FROM jsonb_array_elements(numbered(p_requests, v_contested)) r),
        numbered(p_events, v_contested),
        true) a
      WHERE a.outcome IN ('duplicate', 'reused');
    END IF;
    FOR v_row IN
      SELECT fit.n, fit.current, claims.wanted, claims.held
      FROM append_events(p_bucket, numbered(p_requests, v_contested), '[]', false) fit
      JOIN LATERAL (
        SELECT array_agg(c.tenant || '/' || c.field || '/' || c.value ORDER BY c.field) AS wanted,
               min(c.field) FILTER (WHERE held."userId" <> c."user") AS held
        FROM jsonb_to_recordset(v_claims) AS c(n integer, tenant uuid, "user" uuid, field text, value text)
        LEFT JOIN LATERAL (
          SELECT h."userId" FROM user_claims h WHERE h."tenantId" = c.tenant AND h.field = c.field AND h.value = c.value LIMIT 1
        ) held ON true
        WHERE c.n = fit.n AND c.value IS NOT NULL
      ) claims ON true
      WHERE fit.outcome = 'stored' AND fit.n <> ALL (v_repeated)
      ORDER BY fit.n
    LOOP
      field := coalesce(v_row.held, (
        SELECT split_part(w, '/', 2) FROM unnest(v_row.wanted) AS w WHERE w = ANY (v_taken) LIMIT 1));
      IF field IS NULL THEN
        v_taken := v_taken || v_row.wanted;
        CONTINUE;
      END IF;
      v_lost := v_lost || v_row.n;
      n := v_row.n;
      outcome := 'claimed';
      current := v_row.current;
      RETURN NEXT;
    END LOOP;
    field := NULL;
  END IF;

  IF v_lost <> '{}' THEN
    v_contested := ARRAY(SELECT r.n FROM jsonb_to_recordset(p_requests) AS r(n integer) WHERE r.n <> ALL (v_lost));
    p_requests := numbered(p_requests, v_contested);
    p_events := numbered(p_events, v_contested);
  END IF;
  FOR n, outcome, current, "position", "createdAt", stored IN
    SELECT * FROM append_events(p_bucket, p_requests, p_events, p_repeatable)
  LOOP
    IF outcome = 'stored' THEN v_stored := v_stored || n; END IF;
    RETURN NEXT;
  END LOOP;
  PERFORM record_claims(numbered(v_claims, v_stored));
  PERFORM set_config('user_event_store.claims', '', true);
END
$$;
--> statement-breakpoint

-- import_claiming_events: import_events in a store in which fields of users are unique. Arguments and rows are the same, with one
-- more reason: claimed, when a row gives its user what is another's at that point of the history; field names which.
--
-- Rows follow each other: what one lets go, a later one can take.
CREATE FUNCTION import_claiming_events(
  p_bucket smallint, p_tenant uuid, p_users uuid[], p_firsts integer[], p_of integer[], p_versions integer[], p_ids uuid[],
  p_types varchar[], p_schemas smallint[], p_asked boolean[], p_data text, p_metadata text, p_occurred timestamptz[],
  p_created timestamptz[], p_since bigint)
RETURNS TABLE (duplicates integer[], bad integer, reason text, current integer, head bigint, field text)
LANGUAGE plpgsql VOLATILE
SET enable_seqscan = off
AS $$
#variable_conflict use_column
DECLARE
  v_heads integer[];
  v_claims jsonb;
  v_bad integer;
  v_field text;
  v_current integer;
  v_users integer;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365811, p_bucket);
  PERFORM set_config('user_event_store.claims', 'kept', true);
  SELECT array_agg(coalesce(newest.version, 0) ORDER BY u.n) INTO v_heads
  FROM unnest(p_users) WITH ORDINALITY AS u(id, n)
  LEFT JOIN LATERAL (
    SELECT e.version FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = u.id ORDER BY e.version DESC LIMIT 1
  ) newest ON true;

  -- Rows that are stored already say nothing new.
  SELECT jsonb_agg(jsonb_build_object('i', r.i, 'tenant', p_tenant, 'user', p_users[r.u], 'field', c.field, 'value', c.value))
  INTO v_claims
  FROM unnest(p_of, p_versions, p_types, string_to_array(p_data, E'\n')) WITH ORDINALITY AS r(u, version, type, data, i)
  CROSS JOIN LATERAL claims_of(r.type, r.data::jsonb) c
  JOIN unique_claims kept ON kept.field = c.field
  WHERE r.version > v_heads[r.u];
  IF v_claims IS NULL THEN
    RETURN QUERY SELECT i.*, NULL::text
    FROM import_events(p_bucket, p_tenant, p_users, p_firsts, p_of, p_versions, p_ids, p_types, p_schemas, p_asked, p_data,
                       p_metadata, p_occurred, p_created, p_since) i;
    PERFORM set_config('user_event_store.claims', '', true);
    RETURN;
  END IF;
  PERFORM pg_advisory_xact_lock(1970365815);

  -- Who has which value from which row on, and until which: two at one time is one too many.
  WITH claim AS MATERIALIZED (
    SELECT c.i, c."user", c.field, c.value, lead(c.i) OVER (PARTITION BY c."user", c.field ORDER BY c.i) AS until
    FROM jsonb_to_recordset(v_claims) AS c(i integer, "user" uuid, field text, value text)
  ), held AS (
    SELECT claim.i, claim."user", claim.field, claim.value, claim.until FROM claim WHERE claim.value IS NOT NULL
    UNION ALL
    SELECT 0, before."userId", wanted.field, wanted.value, released.i
    FROM (SELECT DISTINCT claim.field, claim.value FROM claim WHERE claim.value IS NOT NULL) wanted
    CROSS JOIN LATERAL (
      SELECT h."userId" FROM user_claims h
      WHERE h."tenantId" = p_tenant AND h.field = wanted.field AND h.value = wanted.value LIMIT 1
    ) before
    LEFT JOIN (SELECT claim."user", claim.field, min(claim.i) AS i FROM claim GROUP BY claim."user", claim.field) released
      ON released."user" = before."userId" AND released.field = wanted.field
  )
  SELECT later.i, later.field INTO v_bad, v_field
  FROM held earlier JOIN held later
    ON later.field = earlier.field AND later.value = earlier.value AND later."user" <> earlier."user"
      AND later.i > earlier.i AND (earlier.until IS NULL OR later.i < earlier.until)
  ORDER BY later.i, later.field LIMIT 1;

  IF v_bad IS NOT NULL THEN
    v_current := v_heads[p_of[v_bad]];
    -- Users are numbered as they come, so those of the rows before it are the first ones.
    v_users := (SELECT count(*) FROM unnest(p_firsts) AS f WHERE f < v_bad);
    p_users := p_users[:v_users];
    p_firsts := p_firsts[:v_users];
    p_of := p_of[:v_bad - 1];
    p_versions := p_versions[:v_bad - 1];
    p_ids := p_ids[:v_bad - 1];
    p_types := p_types[:v_bad - 1];
    p_schemas := p_schemas[:v_bad - 1];
    p_asked := p_asked[:v_bad - 1];
    p_data := array_to_string((string_to_array(p_data, E'\n'))[:v_bad - 1], E'\n');
    p_metadata := array_to_string((string_to_array(p_metadata, E'\n'))[:v_bad - 1], E'\n');
    p_occurred := p_occurred[:v_bad - 1];
    p_created := p_created[:v_bad - 1];
  END IF;
  SELECT * INTO duplicates, bad, reason, current, head
  FROM import_events(p_bucket, p_tenant, p_users, p_firsts, p_of, p_versions, p_ids, p_types, p_schemas, p_asked, p_data,
                     p_metadata, p_occurred, p_created, p_since);
  IF bad IS NULL AND v_bad IS NOT NULL THEN
    bad := v_bad;
    reason := 'claimed';
    current := v_current;
    field := v_field;
  END IF;
  PERFORM record_claims(claims) FROM (
    SELECT coalesce(jsonb_agg(final), '[]') AS claims
    FROM (
      SELECT DISTINCT ON (c."user", c.field) c.tenant, c."user", c.field, c.value
      FROM jsonb_to_recordset(v_claims) AS c(i integer, tenant uuid, "user" uuid, field text, value text)
      WHERE c.i < coalesce(bad, 2147483647)
      ORDER BY c."user", c.field, c.i DESC
    ) final
  ) stored;
  PERFORM set_config('user_event_store.claims', '', true);
  RETURN NEXT;
END
$$;
--> statement-breakpoint

-- While fields are unique, nothing is stored past the functions above: an instance that was started before they were would.
-- They name themselves in the setting user_event_store.claims while they store. By set_config, not in SET clauses of theirs:
-- those may be written only by superusers and by whom one has granted it.
CREATE FUNCTION refuse_unclaimed() RETURNS trigger
LANGUAGE plpgsql
AS $$
BEGIN
  IF coalesce(current_setting('user_event_store.claims', true), '') = 'kept' THEN RETURN NULL; END IF;
  RAISE EXCEPTION 'INSERT into user_events is refused: fields of users are unique here, and this writer does not see to it'
    USING ERRCODE = 'check_violation', CONSTRAINT = 'user_events_claims_kept',
          HINT = 'Store events by append_claiming_events or import_claiming_events.';
END
$$;
--> statement-breakpoint

CREATE TRIGGER user_events_claims_kept
BEFORE INSERT ON user_events
FOR EACH STATEMENT EXECUTE FUNCTION refuse_unclaimed();
--> statement-breakpoint

ALTER TABLE user_events DISABLE TRIGGER user_events_claims_kept;
--> statement-breakpoint

-- whole_log: every event, wherever it is.
CREATE VIEW whole_log AS SELECT * FROM user_events;
--> statement-breakpoint

-- set_unique_claims: makes p_fields the fields that are unique in a tenant, if the database is not that already.
--
-- Keeps true: when a field becomes unique, user_claims has what every user who is not deleted has in it, none twice. It holds the
-- locks of everything that stores events or registers types, so nothing comes in between, and reads the whole log: appends wait.
--
-- p_fields    null ends all of it; fields that are unique cannot be left out otherwise, or an instance with old settings would
--             end it by mistake
-- p_revision  of the registered types that the caller has examined for effects on the fields
--
-- Rows:
--   outcome   same, changed; or with nothing changed: fewer (fields than are unique), types (were registered meanwhile), clash
--   claimed   the fields that were unique before
--   field, clashes, users   when clash, for each such field: how many values more than one user has, and who has one of them
CREATE FUNCTION set_unique_claims(p_fields text[], p_revision bigint)
RETURNS TABLE (outcome text, claimed text[], field text, clashes bigint, users uuid[])
LANGUAGE plpgsql VOLATILE
SET lock_timeout = '60s'
SET work_mem = '256MB'
AS $$
#variable_conflict use_column
DECLARE
  v_claimed text[];
  v_bucket integer;
BEGIN
  PERFORM pg_advisory_xact_lock(1970365813);
  FOR v_bucket IN SELECT generate_series(0, s.buckets - 1) FROM store_identity s LOOP
    PERFORM pg_advisory_xact_lock(1970365811, v_bucket);
  END LOOP;
  PERFORM pg_advisory_xact_lock(1970365815);
  v_claimed := ARRAY(SELECT kept.field FROM unique_claims kept ORDER BY kept.field);

  IF p_fields IS NULL THEN
    DELETE FROM unique_claims;
    TRUNCATE user_claims;
    ALTER TABLE user_events DISABLE TRIGGER user_events_claims_kept;
    RETURN QUERY SELECT 'changed', v_claimed, NULL::text, NULL::bigint, NULL::uuid[];
    RETURN;
  END IF;
  IF v_claimed @> p_fields OR NOT v_claimed <@ p_fields THEN
    RETURN QUERY SELECT CASE WHEN v_claimed <@ p_fields THEN 'same' ELSE 'fewer' END, v_claimed, NULL::text, NULL::bigint, NULL::uuid[];
    RETURN;
  END IF;
  IF p_revision <> (SELECT coalesce(max(t.revision), 0) FROM event_types t) THEN
    RETURN QUERY SELECT 'types', v_claimed, NULL::text, NULL::bigint, NULL::uuid[];
    RETURN;
  END IF;

  RETURN QUERY
  WITH final AS MATERIALIZED (
    SELECT DISTINCT ON (e."aggregateId", c.field) e."tenantId", e."aggregateId" AS "userId", c.field, c.value
    FROM whole_log e
    CROSS JOIN LATERAL claims_of(e."eventType", e."eventData") c
    WHERE c.field = ANY (p_fields) AND c.field <> ALL (v_claimed)
    ORDER BY e."aggregateId", c.field, e.version DESC
  ), clashing AS MATERIALIZED (
    SELECT f.field, array_agg(f."userId" ORDER BY f."userId") AS users
    FROM final f WHERE f.value IS NOT NULL GROUP BY f."tenantId", f.field, f.value HAVING count(*) > 1
  ), filled AS (
    INSERT INTO user_claims ("tenantId", field, value, "userId")
    SELECT f."tenantId", f.field, f.value, f."userId" FROM final f
    WHERE f.value IS NOT NULL AND NOT EXISTS (SELECT FROM clashing)
  )
  SELECT 'clash', v_claimed, c.field::text, count(*), (min(c.users))[:5] FROM clashing c GROUP BY c.field ORDER BY c.field;
  IF FOUND THEN RETURN; END IF;

  INSERT INTO unique_claims (field) SELECT f FROM unnest(p_fields) AS f WHERE f <> ALL (v_claimed);
  ALTER TABLE user_events ENABLE TRIGGER user_events_claims_kept;
  RETURN QUERY SELECT 'changed', v_claimed, NULL::text, NULL::bigint, NULL::uuid[];
END
$$;
--> statement-breakpoint

-- register_unclaimed_event_type: register_event_type, unless the type's effect writes fields (p_writes) of which one is unique: its
-- events would give users what append_claiming_events does not see. Then the outcome is claimed, and nothing is stored. A
-- version that is there already is no news.
CREATE FUNCTION register_unclaimed_event_type(
  p_writes text[], p_tenant uuid, p_type varchar, p_version smallint, p_definition jsonb, p_types_max integer, p_versions_max integer)
RETURNS TABLE (outcome text, newest integer)
LANGUAGE plpgsql VOLATILE
AS $$
#variable_conflict use_column
BEGIN
  PERFORM pg_advisory_xact_lock(1970365813);
  IF EXISTS (SELECT FROM unique_claims kept WHERE kept.field = ANY (p_writes)) AND NOT EXISTS (
    SELECT FROM event_types t WHERE t."tenantId" IS NOT DISTINCT FROM p_tenant AND t."eventType" = p_type AND t.version = p_version)
  THEN
    RETURN QUERY SELECT 'claimed', 0;
    RETURN;
  END IF;
  RETURN QUERY SELECT * FROM register_event_type(p_tenant, p_type, p_version, p_definition, p_types_max, p_versions_max);
END
$$;
