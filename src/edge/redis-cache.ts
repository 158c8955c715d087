/**
 * The shared cache of states in Redis. It may be slow, down, flushed or full of garbage: every call ends soon, a value that
 * cannot be trusted is dropped and counted, and after some failures Redis is left alone for a while.
 */
import { createClient } from 'redis'
import type { StreamKey } from '../domain/event.js'
import type { KnownState } from '../domain/replay.js'
import { isStateOf } from '../domain/snapshot.js'

export type RedisCacheOptions = {
  url: string
  /** names the rules of folding: states made under others are other keys */
  fingerprint: string
  /** longest wait for a command, ms */
  timeoutMs?: number
  /** told about values that were dropped and commands that failed */
  onTrouble: (kind: 'poisoned' | 'failed') => void
}

/** States that nobody asks for go after a day, s. */
const EXPIRE_S = 86_400
const FAILURES_MAX = 3
const OPEN_MS = 1000

/** Stores version, newline, JSON unless a version as high is there; whoever comes late changes nothing. */
const PUT_IF_NEWER = `
  local known = redis.call('GETRANGE', KEYS[1], 0, 15)
  if tonumber(string.match(known, '^(%d+)\\n') or '0') >= tonumber(ARGV[1]) then return 0 end
  redis.call('SET', KEYS[1], ARGV[1] .. '\\n' .. ARGV[2], 'EX', ARGV[3])
  return 1`

export type RedisCache = {
  /** The state that Redis has for a user; null when it has none, or no answer in time. */
  get(key: StreamKey): Promise<KnownState | null>
  /** Stores a state in the background unless Redis has a version as new. */
  put(key: StreamKey, known: KnownState): void
  close(): void
}

/** Connects in the background and again after every loss; never throws. */
export function openRedisCache({ url, fingerprint, timeoutMs = 50, onTrouble }: RedisCacheOptions): RedisCache {
  const client = createClient({
    url,
    disableOfflineQueue: true,
    commandsQueueMaxLength: 1000,
    socket: { connectTimeout: 1000, reconnectStrategy: (retries) => Math.min(2000, 50 * 2 ** retries) }
  })
  client.on('error', () => {}) // A lost connection shows in the commands that fail.
  client.connect().catch(() => {})

  let failures = 0
  let closedUntil = 0
  const nameOf = ({ tenantId, userId }: StreamKey): string => `user-state:${tenantId}:${userId}:${fingerprint}`

  /** Runs a command unless Redis is being left alone; null when it failed, was late or was not run. */
  async function attempt<T>(command: () => Promise<T>): Promise<T | null> {
    if (!client.isReady || performance.now() < closedUntil) return null
    try {
      const result = await withinMs(command(), timeoutMs)
      failures = 0
      return result
    } catch {
      onTrouble('failed')
      if (++failures >= FAILURES_MAX) {
        closedUntil = performance.now() + OPEN_MS
        failures = 0
      }
      return null
    }
  }

  return {
    async get(key) {
      const value = await attempt(() => client.get(nameOf(key)))
      if (value === null) return null
      const entry = decode(key, value)
      if (!entry) {
        onTrouble('poisoned')
        void attempt(() => client.del(nameOf(key)))
      }
      return entry
    },
    put(key, { version, asOf, text }) {
      const value = `{"asOf":"${asOf}","state":${text}}`
      void attempt(() =>
        client.eval(PUT_IF_NEWER, { keys: [nameOf(key)], arguments: [String(version), value, String(EXPIRE_S)] })
      )
    },
    close: () => client.destroy()
  }
}

/** Null unless the value is one that `put` writes, of this user. */
function decode(key: StreamKey, value: string): KnownState | null {
  const [, version, json] = /^(\d{1,10})\n(.+)$/s.exec(value) ?? []
  if (!version || !json) return null
  try {
    const { asOf, state } = JSON.parse(json) as { asOf: unknown; state: unknown }
    if (typeof asOf !== 'string' || Number.isNaN(Date.parse(asOf)) || !isStateOf(key, state)) return null
    return { version: Number(version), asOf, state, text: JSON.stringify(state) }
  } catch {
    return null
  }
}

async function withinMs<T>(promise: Promise<T>, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no reply within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
