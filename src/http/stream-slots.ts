/** Bounds requests that stay open: how many there are, and how many of one client. */
import { DomainError } from '../domain/errors.js'

export type StreamSlots = {
  /**
   * Takes a slot for `client`; the function it returns gives it back and must be called once.
   * Throws TOO_MANY_STREAMS when the client has its share, OVERLOADED when all slots are taken.
   */
  take(client: string): () => void
}

export type StreamBounds = { max: number; perClientMax: number }

/** `streams` is what they are called, `setting` what the names of both bounds begin with; those of the feed when absent. */
export function createStreamSlots(
  { max, perClientMax }: StreamBounds,
  { streams, setting } = { streams: 'streams and waiting reads', setting: 'STREAMS' }
): StreamSlots {
  const byClient = new Map<string, number>()
  let open = 0
  return {
    take(client) {
      const own = byClient.get(client) ?? 0
      if (own >= perClientMax) throw tooMany(perClientMax, streams, setting)
      if (open >= max) throw full(max, streams, setting)
      open++
      byClient.set(client, own + 1)
      return () => {
        open--
        const left = byClient.get(client)! - 1
        if (left > 0) byClient.set(client, left)
        else byClient.delete(client)
      }
    }
  }
}

const tooMany = (max: number, streams: string, setting: string): DomainError =>
  new DomainError(
    'TOO_MANY_STREAMS',
    `This address has ${max} ${streams} open, and may have no more (${setting}_PER_CLIENT_MAX). Close one first, or share one among those who read it.`
  )

const full = (max: number, streams: string, setting: string): DomainError =>
  new DomainError(
    'OVERLOADED',
    `${max} ${streams} are open, and there may be no more (${setting}_MAX). Send the request again later, or to another instance.`
  )
