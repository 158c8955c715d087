/** Many users straight into the read model: no two of a name, of some status and role, created over three years. */

/** The statement that adds `count` users to a tenant; `from` is the number of the first. */
export const manyUsers = (tenantId: string, from: number, count: number): string => `
  WITH found AS (
    INSERT INTO user_read_model (bucket, "userId", "tenantId", username, email, "fullName", status, "roleIds", "lockedUntil", "createdAt", "deletedAt")
    SELECT 0, md5('many' || n)::uuid, '${tenantId}', 'user' || n, 'user' || n || '@example.com',
      (ARRAY['Ada','Grace','Linus','Barbara','Edsger','Frances','Donald','Radia'])[1 + n % 8] || ' ' || md5(n::text),
      CASE WHEN n % 50 = 0 THEN 'deleted' WHEN n % 20 = 1 THEN 'inactive' WHEN n % 500 = 3 THEN 'suspended' ELSE 'active' END,
      CASE WHEN n % 1000 = 7 THEN '{admin,member}' WHEN n % 3 = 0 THEN '{}' ELSE '{member}' END::text[],
      CASE WHEN n % 200 = 9 THEN '2999-01-01'::timestamptz END,
      '2023-01-01'::timestamptz + n * interval '94 seconds',
      CASE WHEN n % 50 = 0 THEN '2026-06-01'::timestamptz END
    FROM generate_series(${from}, ${from + count - 1}) AS n
    RETURNING *)
  INSERT INTO user_read_state (bucket, "userId", "tenantId", "changedAt", "lastUpdatedVersion", "lastPosition", status, "lockedUntil", state)
  SELECT bucket, "userId", "tenantId", CASE WHEN n % 2 = 0 THEN "createdAt" + interval '1 day' ELSE "createdAt" END, 1 + n % 40, n,
    status, "lockedUntil", json_build_object('userId', "userId", 'tenantId', "tenantId", 'username', username, 'email', email, 'fullName', "fullName",
      'phone', null, 'status', status, 'roleIds', "roleIds", 'totalLogins', n % 40, 'loginAttempts', 0,
      'lockedUntil', "lockedUntil", 'lastLoginAt', null, 'attributes', '{}'::json, 'createdAt', "createdAt",
      'updatedAt', CASE WHEN n % 2 = 0 THEN "createdAt" + interval '1 day' END, 'deletedAt', "deletedAt")
  FROM found, LATERAL (SELECT substr(username, 5)::integer AS n) AS numbered`

/** A query of GET /users for each filter and order that the contract names; the values exist among 50,000 or more of the users above. */
export const documentedQueries = [
  '',
  'username=USER4711',
  'email=user4711%40example.com',
  'q=user4711',
  'q=ada%20c4ca',
  'q=grace',
  'q=us',
  'q=b',
  'q=nobodyatall',
  'status=inactive',
  'status=suspended',
  'status=deleted',
  'status=active&status=inactive',
  'includeDeleted=true',
  'role=admin',
  'role=member',
  'role=nobody',
  'locked=true',
  'locked=false',
  'createdFrom=2023-01-05T00%3A00%3A00Z&createdTo=2023-01-06T00%3A00%3A00Z',
  'updatedFrom=2023-01-05T00%3A00%3A00Z&updatedTo=2023-01-06T00%3A00%3A00Z',
  'createdFrom=2023-01-02T00%3A00%3A00Z',
  'updatedFrom=2023-01-02T00%3A00%3A00Z',
  'sort=updatedAt',
  'sort=username&order=asc',
  'sort=email',
  'status=inactive&sort=username',
  'status=suspended&sort=email',
  'role=admin&sort=username',
  'q=grace&status=inactive&sort=updatedAt',
  'locked=true&role=member&sort=email&order=asc'
]

/** More of them together: when somebody was changed stands in another table than what they are found by. */
export const combinedQueries = [
  'username=USER4711&sort=updatedAt',
  'q=grace&sort=updatedAt',
  'q=us&sort=updatedAt&order=asc',
  'status=active&sort=updatedAt',
  'status=inactive&sort=updatedAt',
  'status=suspended&sort=updatedAt',
  'role=admin&sort=updatedAt',
  'role=member&sort=updatedAt&order=asc',
  'role=nobody&sort=updatedAt',
  'locked=true&sort=updatedAt',
  'createdFrom=2023-01-05T00%3A00%3A00Z&createdTo=2023-01-06T00%3A00%3A00Z&sort=updatedAt',
  'updatedFrom=2023-01-05T00%3A00%3A00Z&updatedTo=2023-01-06T00%3A00%3A00Z&sort=username',
  'updatedFrom=2023-01-05T00%3A00%3A00Z&sort=email&status=inactive',
  'updatedFrom=2023-01-05T00%3A00%3A00Z&q=grace',
  'updatedFrom=2023-01-05T00%3A00%3A00Z&role=admin&sort=updatedAt&order=asc'
]
