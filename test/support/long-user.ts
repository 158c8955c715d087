/** A user of very many events, written past the service, which would take its time. */
import { newUserId, userCreated } from './events.js'
import type { TestService } from './service.js'

/** Events 2 to `count` each set the full name to `Name <version>`. Returns the id. */
export async function longUser({ append, database }: TestService, count: number): Promise<string> {
  const userId = newUserId()
  await append(userId, [userCreated('long')])
  await database.run(`
    INSERT INTO user_events (bucket, position, id, "aggregateId", version, "eventType", "schemaVersion", "eventData", "tenantId", "createdAt")
    SELECT 0, (SELECT max(position) FROM user_events) + v - 1, gen_random_uuid(), '${userId}', v, 'UserUpdated', 1,
      jsonb_build_object('fullName', 'Name ' || v), "tenantId", "createdAt"
    FROM user_events, generate_series(2, ${count}) AS v WHERE "aggregateId" = '${userId}' AND version = 1`)
  return userId
}
