/** Requests that scenarios share. */
import type { Server } from '../machine.js'

export const JSON_BODY = { 'content-type': 'application/json' }
export const NDJSON = { accept: 'application/x-ndjson' }
export const EVENT_DATA = { fullName: 'Ada Lovelace', attributes: { theme: 'dark', language: 'en' } }
export const EVENT = { eventType: 'UserUpdated', eventData: EVENT_DATA }
export const bodyOf = (events: number): string =>
  JSON.stringify({ events: Array.from({ length: events }, () => EVENT) })

export const statePath = (userId: string): string => `/users/${userId}/state`
export const eventsPath = (userId: string): string => `/users/${userId}/events`
export const snapshotsPath = (userId: string): string => `/admin/users/${userId}/snapshots`

export async function appendTo(service: Server, userIds: string[], events: number): Promise<void> {
  const init = { method: 'POST', headers: JSON_BODY, body: bodyOf(events) }
  await Promise.all(userIds.map(async (id) => drain(await fetch(service.url + eventsPath(id), init))))
}

/** Makes a snapshot and returns how long that took, ms. */
export async function snapshot(service: Server, userId: string): Promise<number> {
  const startedAt = performance.now()
  const body = JSON.stringify({ reason: 'bench' })
  await drain(await fetch(service.url + snapshotsPath(userId), { method: 'POST', headers: JSON_BODY, body }))
  return performance.now() - startedAt
}

export async function drain(response: Response): Promise<void> {
  if (!response.ok) throw await refusal(response)
  for await (const _chunk of response.body!) {
    // only the last byte matters
  }
}

export async function succeededText(response: Response): Promise<string> {
  if (!response.ok) throw await refusal(response)
  return await response.text()
}

export function succeeded<R extends { failures: string | null }>(result: R): R {
  if (result.failures) throw new Error(`Requests failed: ${result.failures}.`)
  return result
}

async function refusal(response: Response): Promise<Error> {
  return new Error(`${response.url} answered ${response.status}: ${await response.text()}`)
}
