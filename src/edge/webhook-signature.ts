/** Signatures by which a receiver knows that a request came from here and was not altered: Standard Webhooks, `v1`. */
import { createHmac } from 'node:crypto'
import { SECRET_PREFIX } from '../domain/subscription.js'

/** The headers that sign `body`. `id` has no dot; `now` in ms is when the request leaves, so that a replay can be told. */
export function signatureHeaders(secret: string, id: string, body: string, now: number): Record<string, string> {
  const timestamp = String(Math.floor(now / 1000))
  const key = Buffer.from(secret.slice(SECRET_PREFIX.length), 'base64')
  const signature = createHmac('sha256', key).update(`${id}.${timestamp}.${body}`).digest('base64')
  return { 'webhook-id': id, 'webhook-timestamp': timestamp, 'webhook-signature': `v1,${signature}` }
}
