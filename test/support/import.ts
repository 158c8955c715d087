/** Lines of an import, and sending them. */
import { randomUUID } from 'node:crypto'
import type { Answer, TestService } from './service.js'

/** An event as an export shows it, but for what an import does not need. Later versions have later times. */
export const importedEvent = (
  userId: string,
  version: number,
  content: { eventType: string; eventData: object },
  more: object = {}
): Record<string, unknown> => ({
  id: randomUUID(),
  aggregateId: userId,
  version,
  ...content,
  createdAt: new Date(Date.UTC(2020, 0, 1) + version).toISOString(),
  ...more
})

/** A line for each; what is text already is taken as it is. */
export const textOf = (lines: readonly (object | string)[]): string =>
  lines.map((line) => `${typeof line === 'string' ? line : JSON.stringify(line)}\n`).join('')

/** POST /events/import */
export const sendLines = (
  { ask }: Pick<TestService, 'ask'>,
  lines: string | readonly (object | string)[],
  headers: Record<string, string> = {}
): Promise<Answer> =>
  ask({
    method: 'POST',
    url: '/events/import',
    headers: { 'content-type': 'application/x-ndjson', ...headers },
    payload: typeof lines === 'string' ? lines : textOf(lines)
  })
