-- import_claiming_events: as in 0008, but another tenant's user counts as one of whom nothing is stored, also where claims are looked at.
-- Its rows passed for stored then, which say nothing new about fields: by what a row was refused for, an import could tell that there
-- is a user of that id elsewhere.
CREATE OR REPLACE FUNCTION import_claiming_events(
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
    SELECT CASE WHEN e."tenantId" = p_tenant THEN e.version ELSE 0 END AS version
    FROM user_events e WHERE e.bucket = p_bucket AND e."aggregateId" = u.id ORDER BY e.version DESC LIMIT 1
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
