/** Bounds requests that stay open: how many there are, and how many of one client. */
import { DomainError } from '../domain/errors.js'

export type StreamSlots = {
  /**
   * Takes a slot for `client`; the function it returns gives it back and must be called once.
   * Throws TOO_MANY_STREAMS when the client has its share, OVERLOADED when all slots are taken.
   */
  take(client: string): () => void
}

export function createStreamSlots({ max, perClientMax }: { max: number; perClientMax: number }): StreamSlots {
  const byClient = new Map<string, number>()
  let open = 0
  return {
    take(client) {
      const own = byClient.get(client) ?? 0
      if (own >= perClientMax) throw tooMany(perClientMax)
      if (open >= max) throw full(max)
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

const tooMany = (max: number): DomainError =>
  new DomainError(
    'TOO_MANY_STREAMS',
    `This address has ${max} streams and waiting reads open, and may have no more (STREAMS_PER_CLIENT_MAX). Close one first, or share one among those who follow.`
  )

const full = (max: number): DomainError =>
  new DomainError(
    'OVERLOADED',
    `${max} streams and waiting reads are open, and there may be no more (STREAMS_MAX). Send the request again later, or to another instance.`
  )
