/**
 * The shared cache of states in Redis. It may be slow, silent, down, flushed or full of garbage: every call ends soon, a
 * value that cannot be trusted is dropped and counted, and after some failures in a row Redis is left alone for a while.
 *
 * A value is `version\ndigest\nasOf\nstate as JSON`, and the digest is over its key and all the rest. So what was cut off,
 * altered by accident, or written under another key is found here. Whether the log has that version with that time is for
 * the reader to ask. What is not found: a value that somebody made up digest and all, so whoever may write to this Redis
 * must be trusted as much as whoever may write to the database.
 */
import { createHash } from 'node:crypto'
import { createClient } from 'redis'
import type { KnownState, StateKey } from '../domain/replay.js'
import { isStateOf } from '../domain/user.js'

export type RedisCacheOptions = {
  /** redis:// or rediss://; throws a TypeError or URIError when it is not one */
  url: string
  /** longest wait for a command, ms */
  timeoutMs?: number
  /** how long Redis is left alone after some failures in a row, ms; then a single command tries */
  aloneMs?: number
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
/** Commands without a reply, at most: bounds what a silent Redis can make us hold. */
const COMMANDS_MAX = 1000
/** Failures in a row after which Redis is left alone. */
const FAILURES_MAX = 3
/** Tries in a row that failed until the connection is given up: a peer that went without a word is never heard of again. */
const TRIES_MAX = 10

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
  const { url, timeoutMs = 50, aloneMs = 1000, onTrouble } = options
  let closed = false
  let failures = 0
  let tries = 0
  let aloneUntil = 0
  let client = connect()

  function connect() {
    const next = createClient({
      url,
      disableOfflineQueue: true,
      commandsQueueMaxLength: COMMANDS_MAX,
      // Its own deadline would cost a timer more per command and ends only those that were not sent yet.
      commandOptions: { timeout: 0 },
      socket: { connectTimeout: 1000, reconnectStrategy: (retries) => Math.min(1000, 50 * 2 ** retries) }
    })
    next.on('error', () => {}) // A lost connection shows in the commands that fail.
    // A client that is destroyed while it connects goes on until it has (redis 6.3).
    next.on('connect', () => isUsed(next) || next.destroy())
    next.on('ready', () => isUsed(next) && recover())
    next.connect().catch(() => {})
    return next
  }

  const isUsed = (one: object): boolean => !closed && one === client

  function recover(): void {
    failures = 0
    tries = 0
    aloneUntil = 0
  }

  function fail(): void {
    onTrouble('failed')
    if (++failures >= FAILURES_MAX) aloneUntil = performance.now() + aloneMs
  }

  /** Runs a command unless Redis is being left alone; null when it failed, was late or was not run. */
  async function attempt<T>(command: (on: typeof client) => Promise<T>): Promise<T | null> {
    const now = performance.now()
    if (closed || now < aloneUntil) return null
    if (failures >= FAILURES_MAX) {
      aloneUntil = now + aloneMs // This one tries; others do not wait for what comes of it.
      if (++tries > TRIES_MAX) {
        tries = 0
        client.destroy()
        client = connect()
      }
    }
    const on = client
    try {
      const result = await withinMs(command(on), timeoutMs)
      recover()
      return result
    } catch {
      if (isUsed(on)) fail()
      return null
    }
  }

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
    close() {
      closed = true
      client.destroy()
    }
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
