/** Opaque marks that resume a page. Clients send them back as they came. */
import { DomainError } from './errors.js'

export type PageCursor = {
  userId: string
  direction: 'forward' | 'backward' /** version of the last event shown */
  version: number
}

/** The largest version that its column can hold. */
const VERSION_MAX = 2_147_483_647

export const encodeCursor = ({ userId, direction, version }: PageCursor): string =>
  Buffer.from(`1.${userId}.${direction === 'forward' ? 'f' : 'b'}.${version}`).toString('base64url')

/** The version to go on after. Throws CURSOR_MALFORMED if the cursor was not made for this user and direction. */
export function decodeCursor(cursor: string, userId: string, direction: PageCursor['direction']): number {
  const [, user, way, version] =
    /^1\.([0-9a-f-]{36})\.([fb])\.(\d{1,10})$/.exec(Buffer.from(cursor, 'base64url').toString()) ?? []
  if (user === userId && way === direction[0] && Number(version) <= VERSION_MAX) return Number(version)
  throw new DomainError(
    'CURSOR_MALFORMED',
    'The cursor is not one that this route gave for this user and direction. Send `next` of the page before, unchanged, with the same query.'
  )
}
