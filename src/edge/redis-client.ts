/**
 * A connection to Redis for what can do without. Redis may be slow, silent or down: every command ends soon, and after some
 * failures in a row Redis is left alone for a while.
 */
import { createClient } from 'redis'

export type RedisOptions = {
  /** redis:// or rediss://; throws a TypeError or URIError when it is not one */
  url: string
  /** longest wait for a command, ms */
  timeoutMs?: number
  /** how long Redis is left alone after some failures in a row, ms; then a single command tries */
  aloneMs?: number
}

/** Commands without a reply, at most: bounds what a silent Redis can make us hold. */
const COMMANDS_MAX = 1000
/** Failures in a row after which Redis is left alone. */
const FAILURES_MAX = 3
/** Tries in a row that failed until the connection is given up: a peer that went without a word is never heard of again. */
const TRIES_MAX = 10

export type RedisConnection = ReturnType<typeof openRedis>

/** Connects in the background, and again after every loss. `onFailed` is told of commands that failed, were late or found no connection. */
export function openRedis({ url, timeoutMs = 50, aloneMs = 1000, onFailed }: RedisOptions & { onFailed: () => void }) {
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
    onFailed()
    if (++failures >= FAILURES_MAX) aloneUntil = performance.now() + aloneMs
  }

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

  return {
    /** Runs a command unless Redis is being left alone; null when it failed, was late or was not run. */
    attempt,
    close(): void {
      closed = true
      client.destroy()
    }
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
