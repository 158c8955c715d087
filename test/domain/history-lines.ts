/** Random histories as lines of an import, mixed as a log does: old and new schema versions, a registered type, metadata. */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { randomOf } from '../support/random.js'
import type { TestService } from '../support/service.js'
import { histories } from './histories.js'

/** Mixes the histories of several users as a log does, by lots. */
export function mixed<T extends object>(seed: number, lives: T[][]): T[] {
  const random = randomOf(seed)
  const left = lives.map((life) => [...life])
  const lines: T[] = []
  for (let open = left; open.length > 0; open = open.filter((life) => life.length > 0))
    lines.push(random.pick(open).shift()!)
  return lines
}

/** Registers the type Moved, which the histories end with. */
export const registerMoved = async (
  { ask }: Pick<TestService, 'ask'>,
  headers: Record<string, string> = {}
): Promise<void> => {
  const common = { schema: { type: 'object' }, effect: { kind: 'merge', namespace: 'address' } }
  const upcast = [{ op: 'add', path: '/country', value: 'UK' }]
  for (const [i, payload] of [common, { ...common, upcast }].entries())
    await ask({ method: 'PUT', url: `/event-types/Moved/versions/${i + 1}`, headers, payload })
}

/** A line of an import. */
export type Line = Record<string, unknown> & { aggregateId: string; version: number; createdAt: string }

/** A random history for a store: old and new schema versions, a registered type, metadata and times of clients. */
export function randomLines(seed: number): Line[] {
  const random = randomOf(seed)
  const lives = fc.sample(histories(40), { numRuns: 12, seed }).map((events) => {
    const aggregateId = randomUUID()
    const lines = events.map((event) => ({
      id: randomUUID(),
      aggregateId,
      ...event,
      createdAt: new Date(Date.parse(event.createdAt) - 366 * 86_400_000).toISOString(),
      ...(random.below(2) ? { metadata: { correlationId: `c-${random.below(9)}`, 'ключ "\\\n': [1.5, null] } } : {}),
      ...(random.below(2) ? { occurredAt: '2019-05-05T05:05:05.005Z' } : {})
    }))
    const last = lines.at(-1)!
    if (last.eventType === 'UserDeleted') return lines
    const { version, createdAt } = last
    const moved = { id: randomUUID(), aggregateId, version: version + 1, eventType: 'Moved', createdAt }
    return [...lines, { ...moved, schemaVersion: 1 + random.below(2), eventData: { city: 'Bath' } }]
  })
  return mixed(seed, lives)
}
