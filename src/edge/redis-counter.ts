/** Counts of requests that instances share, in Redis. When Redis is down there are none, and each instance has its own. */
import { openRedis, type RedisOptions } from './redis-client.js'

export type RedisCounter = {
  /**
   * Adds one to the count of `key`, which begins anew `windowMs` after its first. Resolves with the count and how long it
   * goes on, ms; null when Redis failed, was late, or is left alone.
   */
  count(key: string, windowMs: number): Promise<{ count: number; leftMs: number } | null>
  close(): void
}

/** A count without an end (a key that somebody made persistent) gets one. */
const COUNT = `
  local count = redis.call('INCR', KEYS[1])
  local left = redis.call('PTTL', KEYS[1])
  if left < 0 then
    redis.call('PEXPIRE', KEYS[1], ARGV[1])
    left = tonumber(ARGV[1])
  end
  return { count, left }`

/** Connects in the background. */
export function openRedisCounter(options: RedisOptions): RedisCounter {
  const { attempt, close } = openRedis({ ...options, onFailed: () => {} })
  return {
    async count(key, windowMs) {
      const found = await attempt((on) =>
        on.eval(COUNT, { keys: [`user-events-rate:${key}`], arguments: [String(windowMs)] })
      )
      if (!found) return null
      const [count, leftMs] = found as [number, number]
      return { count, leftMs }
    },
    close
  }
}
