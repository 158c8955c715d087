-- is_until: whether an event was recorded at or before p_at and stands at or before p_position; null asks for nothing.
CREATE FUNCTION is_until(p_created timestamptz, p_place bigint, p_at timestamptz, p_position bigint)
RETURNS boolean
LANGUAGE sql IMMUTABLE
AS $$ SELECT (p_at IS NULL OR p_created <= p_at) AND (p_position IS NULL OR p_place <= p_position) $$;
--> statement-breakpoint

-- kept_version_until: in user_events, the version of a user's last event until p_at and p_position; of a user who has none until
-- then, one less than the first. Times never decrease within a user and positions go up, so it halves the range: some 17 look-ups for
-- 100,000 events.
CREATE FUNCTION kept_version_until(p_bucket smallint, p_user uuid, p_at timestamptz, p_position bigint)
RETURNS integer
LANGUAGE plpgsql STABLE
AS $$
DECLARE
  v_low integer;
  v_high integer;
  v_middle integer;
BEGIN
  SELECT e.version - 1 INTO v_low FROM user_events e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user ORDER BY e.version LIMIT 1;
  SELECT e.version INTO v_high FROM user_events e
  WHERE e.bucket = p_bucket AND e."aggregateId" = p_user ORDER BY e.version DESC LIMIT 1;
  WHILE v_low < v_high LOOP
    v_middle := v_low + (v_high - v_low + 1) / 2;
    IF (SELECT is_until(e."createdAt", e.position, p_at, p_position) FROM user_events e
        WHERE e.bucket = p_bucket AND e."aggregateId" = p_user AND e.version >= v_middle
        ORDER BY e.version LIMIT 1) THEN
      v_low := v_middle;
    ELSE
      v_high := v_middle - 1;
    END IF;
  END LOOP;
  RETURN coalesce(v_low, 0);
END
$$;
--> statement-breakpoint

-- user_version_until: version of a user's last event until p_at and p_position; 0 if there was none yet.
CREATE FUNCTION user_version_until(p_bucket smallint, p_user uuid, p_at timestamptz, p_position bigint)
RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT kept_version_until(p_bucket, p_user, p_at, p_position) $$;
--> statement-breakpoint

CREATE OR REPLACE FUNCTION user_version_at(p_bucket smallint, p_user uuid, p_at timestamptz)
RETURNS integer
LANGUAGE sql STABLE
AS $$ SELECT user_version_until(p_bucket, p_user, p_at, NULL) $$;
