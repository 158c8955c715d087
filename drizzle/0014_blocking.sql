-- blocking_transactions: transactions of any session for which sessions of this database have waited for longer than p_seconds, those
-- first that the longest wait is for. Of a line of waiters only who stands at its head is told.
--
-- As its owner, since a role that row-level security binds may not know how old the transactions of others are. It gives no texts of
-- statements. `state` and `transactionSeconds` are null if the owner may not know either.
CREATE FUNCTION blocking_transactions(p_seconds double precision)
RETURNS TABLE (
  pid integer, application text, state text, "transactionSeconds" double precision, waiting integer, "waitingSeconds" double precision)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $$
  SELECT b.pid, coalesce(a.application_name, ''), a.state, extract(epoch FROM clock_timestamp() - a.xact_start)::float8,
    count(*)::integer, max(extract(epoch FROM clock_timestamp() - l.waitstart))::float8
  FROM pg_locks l
  JOIN pg_stat_activity w ON w.pid = l.pid AND w.datname = current_database()
  CROSS JOIN LATERAL unnest(pg_blocking_pids(l.pid)) AS b(pid)
  LEFT JOIN pg_stat_activity a ON a.pid = b.pid
  WHERE NOT l.granted AND l.waitstart < clock_timestamp() - p_seconds * interval '1 second'
    AND NOT EXISTS (SELECT FROM pg_locks own WHERE own.pid = b.pid AND NOT own.granted)
  GROUP BY b.pid, a.application_name, a.state, a.xact_start
  ORDER BY 6 DESC, 1
$$;
