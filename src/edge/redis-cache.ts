/**
 * The shared cache of states in Redis. It may be slow, silent, down (see redis-client.ts), flushed or full of garbage: a
 * value that cannot be trusted is dropped and counted.
 *
 * A value is `version\ndigest\nasOf\nstate as JSON`, and the digest is over its key and all the rest. So what was cut off,
 * altered by accident, or written under another key is found here. Whether the log has that version with that time is for
 * the reader to ask. What is not found: a value that somebody made up digest and all, so whoever may write to this Redis
 * must be trusted as much as whoever may write to the database.
 */
import { createHash } from 'node:crypto'
import type { KnownState, StateKey } from '../domain/replay.js'
import { isStateOf } from '../domain/user.js'
import { openRedis, type RedisOptions } from './redis-client.js'

export type RedisCacheOptions = RedisOptions & {
  /** told about values that were dropped, and commands that failed, were late or found no connection */
  onTrouble: (kind: 'poisoned' | 'failed') => void
}

export type RedisCache = {
  /** The state that Redis has for a user; null when it has none, or no answer in time. */
  get(key: StateKey): Promise<KnownState | null>
  /** Stores a state in the background unless Redis has a version as new, or the state is very large. */
  put(key: StateKey, known: KnownState): void
  /** Throws away in the background what turned out not to be true. */
  drop(key: StateKey): void
  close(): void
}

/** A state goes this long after it was stored, s: one that is still asked for is stored again. */
const EXPIRE_S = 86_400
/** Longest value that is written or read: a state is about 1 KiB, and garbage may be anything. */
export const VALUE_BYTES_MAX = 256 * 1024

/**
 * Stores unless a version as high is there; whoever comes late changes nothing. Of a value of another type or form
 * nothing is known, so it is overwritten.
 */
const PUT_IF_NEWER = `
  local known = redis.pcall('GETRANGE', KEYS[1], 0, 10)
  local version = type(known) == 'string' and tonumber(string.match(known, '^(%d+)\\n')) or 0
  if version >= tonumber(ARGV[1]) then return 0 end
  redis.call('SET', KEYS[1], ARGV[2], 'EX', ARGV[3])
  return 1`

/** Connects in the background, and again after every loss. */
export function openRedisCache(options: RedisCacheOptions): RedisCache {
  const { onTrouble } = options
  const { attempt, close } = openRedis({ ...options, onFailed: () => onTrouble('failed') })

  const nameOf = ({ tenantId, userId, fingerprint }: StateKey): string =>
    `user-state:${tenantId}:${userId}:${fingerprint}`

  function drop(key: StateKey): void {
    onTrouble('poisoned')
    void attempt((on) => on.del(nameOf(key)))
  }

  return {
    async get(key) {
      const name = nameOf(key)
      const value = await attempt((on) => on.getRange(name, 0, VALUE_BYTES_MAX).catch(garbageIfNoString))
      if (!value) return null
      const known = decode(name, key, value)
      if (!known) drop(key)
      return known
    },
    put(key, known) {
      const name = nameOf(key)
      const value = encode(name, known)
      if (Buffer.byteLength(value) > VALUE_BYTES_MAX) return
      const options = { keys: [name], arguments: [String(known.version), value, String(EXPIRE_S)] }
      void attempt((on) => on.eval(PUT_IF_NEWER, options))
    },
    drop,
    close
  }
}

/** Redis did answer: there is a list, or a hash, or the like. */
function garbageIfNoString(err: Error): string {
  if (err.message.startsWith('WRONGTYPE')) return 'garbage'
  throw err
}

const encode = (name: string, { version, asOf, text }: KnownState): string =>
  `${version}\n${digestOf(name, version, asOf, text)}\n${asOf}\n${text}`

/** Null unless the value is what `put` writes under this name. */
function decode(name: string, key: StateKey, value: string): KnownState | null {
  const [, digits, digest, asOf, text] = /^([1-9]\d{0,9})\n(\S+)\n(\S+)\n(.+)$/s.exec(value) ?? []
  if (!digits || !digest || !asOf || !text) return null
  const version = Number(digits)
  if (digest !== digestOf(name, version, asOf, text)) return null
  const state: unknown = JSON.parse(text)
  return isStateOf(key, state) ? { version, asOf, state, text } : null
}

const digestOf = (name: string, version: number, asOf: string, text: string): string =>
  createHash('sha256').update(`${name}\n${version}\n${asOf}\n${text}`).digest('base64url').slice(0, 22)
