/**
 * Opaque, signed marks that resume a page or the feed; clients send them back as they came. A cursor holds for what it was
 * made for and for nothing else: its signature covers the scope, which names the list, the tenant and the order. So what a
 * cursor says needs no check, and a cursor of another tenant is worth what a made-up one is.
 */
import { createHmac, createSecretKey, timingSafeEqual } from 'node:crypto'
import { DomainError } from './errors.js'

/** What a cursor is for: name of the list, tenant, then whatever else must be the same when it comes back. */
export type CursorScope = readonly [list: string, tenantId: string, ...others: string[]]

export type Cursors = ReturnType<typeof createCursors>

/** 128 of the 256 bits: an HMAC may be cut to half of its length (RFC 2104, section 5). */
const SIGNATURE_BYTES = 16

/** `secret` is the store's: all instances read each other's cursors, also after a restore. */
export function createCursors(secret: string) {
  const key = createSecretKey(secret, 'utf8')

  // No JSON array is the beginning of another, so nothing need stand between the two.
  const signatureOf = (scope: CursorScope, text: string): Buffer =>
    createHmac('sha256', key)
      .update(JSON.stringify(scope) + text)
      .digest()
      .subarray(0, SIGNATURE_BYTES)

  return {
    /** A cursor that holds `value` as JSON, with no character that a URL would escape. */
    write(scope: CursorScope, value: unknown): string {
      const text = JSON.stringify(value)
      return Buffer.concat([signatureOf(scope, text), Buffer.from(text)]).toString('base64url')
    },

    /** What `write` put in for the same scope. Throws CURSOR_MALFORMED for everything else. */
    read<T>(scope: CursorScope, cursor: string): T {
      const parts = partsOf(cursor)
      if (parts && timingSafeEqual(parts.signature, signatureOf(scope, parts.text))) return JSON.parse(parts.text)
      throw cursorMalformed()
    }
  }
}

/** What a cursor says, be it true or not; undefined for what is none. */
export function unverified(cursor: string): unknown {
  try {
    return JSON.parse(partsOf(cursor)?.text ?? '')
  } catch {
    return undefined
  }
}

/** Null unless `cursor` is written in the one way there is. */
function partsOf(cursor: string): { signature: Buffer; text: string } | null {
  const bytes = Buffer.from(cursor, 'base64url')
  if (bytes.length < SIGNATURE_BYTES || bytes.toString('base64url') !== cursor) return null
  return { signature: bytes.subarray(0, SIGNATURE_BYTES), text: bytes.toString('utf8', SIGNATURE_BYTES) }
}

export const cursorMalformed = (): DomainError =>
  new DomainError(
    'CURSOR_MALFORMED',
    'The cursor is not one that was given for this. Send `next` of the page before, or of the feed also the id of an event of the stream: unchanged, as the same tenant, to the same path, in the same order.'
  )
