/**
 * Statements say for which tenants they act, and row-level security (drizzle/0012_row_level_security.sql) lets them see and write the rows
 * of those alone. They say it themselves: what another statement said would have to be kept on the connection, and could be
 * taken for what this one said (DESIGN D3).
 */

/** A tenant's id, several, or all of them. */
export type Tenants = string | readonly string[] | typeof ALL_TENANTS

/** For those who serve no tenant: workers, and what is told of the store as a whole. */
export const ALL_TENANTS = '*'

/**
 * A statement that acts for `tenants`, with the same rows in the same order. Its text depends on `text` alone, so that it is prepared
 * once for all tenants. One that begins with neither SELECT nor WITH comes back as it is, and acts for nobody.
 *
 * The setting is made before `text` is begun, which needs it (`IS NOT NULL`), and ends with the statement. OFFSET keeps both apart, so
 * that `text` is planned as it would be alone.
 */
export function asTenants<Param>(
  text: string,
  params: readonly Param[],
  tenants: Tenants
): [text: string, params: (Param | string)[]] {
  if (!/^\s*(SELECT|WITH)\b/i.test(text)) return [text, [...params]]
  const setting = tenants === ALL_TENANTS ? tenants : `{${tenants}}`
  return [
    `WITH acting AS MATERIALIZED (SELECT set_config('user_event_store.tenants', $${params.length + 1}, true) AS tenants)
SELECT answer.* FROM acting CROSS JOIN LATERAL (SELECT * FROM (${text}) statement WHERE acting.tenants IS NOT NULL OFFSET 0) answer`,
    [...params, setting]
  ]
}
