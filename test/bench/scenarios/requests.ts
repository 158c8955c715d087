/** Requests that scenarios share. */
import type { Server } from '../machine.js'

export const JSON_BODY = { 'content-type': 'application/json' }
export const EVENT_DATA = { fullName: 'Ada Lovelace', attributes: { theme: 'dark', language: 'en' } }
export const EVENT = { eventType: 'UserUpdated', eventData: EVENT_DATA }
export const bodyOf = (events: number): string =>
  JSON.stringify({ events: Array.from({ length: events }, () => EVENT) })

export async function appendTo(service: Server, userIds: string[], events: number): Promise<void> {
  for (const id of userIds)
    await drain(
      await fetch(`${service.url}/users/${id}/events`, { method: 'POST', headers: JSON_BODY, body: bodyOf(events) })
    )
}

export async function snapshot(service: Server, userId: string, reason: string): Promise<number> {
  const startedAt = performance.now()
  const response = await fetch(`${service.url}/admin/users/${userId}/snapshots`, {
    method: 'POST',
    headers: JSON_BODY,
    body: JSON.stringify({ reason })
  })
  await drain(response)
  return performance.now() - startedAt
}

export async function drain(response: Response): Promise<void> {
  if (!response.ok) throw new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
  for await (const _chunk of response.body!) {
    // only the last byte matters
  }
}

export function succeeded<R extends { failed: number }>(result: R): R {
  if (result.failed > 0) throw new Error(`${result.failed} requests failed`)
  return result
}
