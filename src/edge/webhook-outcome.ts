/** What the answer to a webhook says of the events in the request. */
import type { Outcome } from '../domain/sink.js'
import type { Answer } from './webhook-client.js'

/** Longest wait that a receiver can ask for, ms. */
export const RETRY_AFTER_MAX_MS = 3_600_000
/** Characters of an answer that are told on. */
export const SHOWN_MAX = 200

/** Statuses that say nothing of the event: too many requests, or nobody there to take them. */
const AWAY = new Set([429, 502, 503, 504])
const GONE = 410

/**
 * Delivered for any 2xx, gone for 410, unavailable for those that say that nobody is there, failed for all others: for
 * redirects too, since where events go is decided by the subscription alone. `secret` is kept out of the reason.
 */
export function outcomeOf({ status, retryAfter, text }: Answer, secret: string): Outcome {
  if (status >= 200 && status < 300) return { kind: 'delivered' }
  const said = shown(text, secret)
  const reason = `answered ${status}${said && `: ${said}`}`
  if (status === GONE) return { kind: 'gone', reason }
  const wait = retryAfter === undefined ? null : retryAfterMs(retryAfter, Date.now())
  return { kind: AWAY.has(status) ? 'unavailable' : 'failed', reason, ...(wait === null ? {} : { retryAfterMs: wait }) }
}

/** The wait that the header asks for, in seconds or until a date (RFC 9110, 10.2.3), in ms; null when it says neither. */
function retryAfterMs(header: string, now: number): number | null {
  const wait = /^\d+$/.test(header)
    ? Number(header) * 1000
    : /GMT$/.test(header)
      ? Date.parse(header) - now
      : Number.NaN
  return Number.isNaN(wait) ? null : Math.min(RETRY_AFTER_MAX_MS, Math.max(0, wait))
}

/** What an answer says, fit for a log: one line, short, without the key that the receiver may have repeated. */
const shown = (text: string, secret: string): string =>
  text
    .replaceAll(secret.replace('whsec_', ''), '…')
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()
    .slice(0, SHOWN_MAX)
