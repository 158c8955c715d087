/** What is taken in a database in which fields of users are unique, and what should be. */
import type { Test } from 'tap'
import type { TestDatabase } from './db.js'
import type { TestService } from './service.js'

export type Held = { tenantId: string; field: string; value: string; userId: string }

const inOrder = (claims: readonly Held[]): string[] =>
  claims.map(({ tenantId, field, value, userId }) => `${tenantId} ${field} ${value} ${userId}`).sort()

/** All that is taken. */
export const claimsIn = async ({ run }: Pick<TestDatabase, 'run'>): Promise<Held[]> => [
  ...(await run<Held>('SELECT "tenantId", field, value, "userId" FROM user_claims'))
]

/** Fails the test unless exactly that is taken which the events of all users, folded, give those who are not deleted; returns how much. */
export async function assertClaims(
  t: Test,
  { get, database }: TestService,
  fields: readonly ('username' | 'email')[] = ['username', 'email']
): Promise<number> {
  const users = await database.run<{ userId: string; tenantId: string }>(
    'SELECT "aggregateId" AS "userId", "tenantId" FROM user_events WHERE version = 1'
  )
  const expected: Held[] = []
  for (const { userId, tenantId } of users) {
    const { state } = (await get(`/users/${userId}/state`, { 'x-tenant-id': tenantId })).data
    if (state.status === 'deleted') continue
    for (const field of fields)
      expected.push({ tenantId, field, value: String(state[field]).normalize('NFC').toLowerCase(), userId })
  }
  t.strictSame(inOrder(await claimsIn(database)), inOrder(expected), 'what is taken is what the users have')
  return expected.length
}
