-- user_version_at_position: version of a user's last event at or before p_position in the log; 0 if there was none yet.
-- A user's positions go up with the versions, so it halves the range: some 17 look-ups for 100,000 events.
CREATE FUNCTION user_version_at_position(p_bucket smallint, p_user uuid, p_position bigint)
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
    IF (SELECT e.position <= p_position FROM user_events e
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
