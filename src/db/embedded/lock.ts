// The lock that keeps a second service process off a data folder. It is a file naming its holder's process; it appears with its
// whole content at once (link), so nobody ever reads half a lock. A lock whose process is gone is taken over. Invariant: the lock
// with token T is replaced only by whoever holds the claim `<file>.after-T`, which is a lock of the same kind, so of any number of
// starters who find T stale exactly one wins, and one that dies on the way leaves only a claim that is stale in its turn.
//
// It guards processes that see each other's pids. Two containers or two hosts that share a folder do not; give those a DATABASE_URL.

import { randomUUID } from 'node:crypto'
import { link, open, readFile, rename, rm } from 'node:fs/promises'
import { EmbeddedPostgresError } from './error.js'
import { identify, isRunning, type ProcessIdentity } from './process-identity.js'

export type ServiceLock = { release(): Promise<void> }

type Holder = ProcessIdentity & { token: string }

/**
 * Takes the lock at path `file` for this process, or throws FOLDER_IN_USE if a live process, this one included, has it.
 * Errors of the file system pass through as they are.
 */
export async function takeServiceLock(file: string): Promise<ServiceLock> {
  const self = await identify(process.pid)
  const mine: Holder = { pid: process.pid, startedAt: self?.startedAt ?? null, token: randomUUID() }
  const draft = `${file}.${mine.token}`
  try {
    await writeDurably(draft, `${JSON.stringify(mine)}\n`)
    await acquire(file, file, draft)
  } finally {
    await rm(draft, { force: true })
  }
  return {
    async release() {
      if ((await readHolder(file))?.token === mine.token) await rm(file, { force: true })
    }
  }
}

async function acquire(file: string, lock: string, draft: string): Promise<void> {
  for (;;) {
    if (await tryLink(draft, file)) return
    const holder = await readHolder(file)
    if (holder === null) continue
    if (await isRunning(holder)) throw inUse(lock, holder)

    const claim = `${lock}.after-${holder.token}`
    await acquire(claim, lock, draft)
    // A starter delayed since it read the stale lock gets the claim after the true successor let go of it: look again.
    if ((await readHolder(file))?.token === holder.token) {
      // The claim has our content, so moving it takes the lock and lets go of the claim in one step.
      await rename(claim, file)
      return
    }
    await rm(claim, { force: true })
  }
}

async function readHolder(file: string): Promise<Holder | null> {
  const text = await readFile(file, 'utf8').catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return null
    throw err
  })
  return text === null ? null : parseHolder(text)
}

// Locks appear whole, so one that cannot be read is damaged, not young. Pid 0 never runs: it counts as stale.
function parseHolder(text: string): Holder {
  const damaged: Holder = { pid: 0, startedAt: null, token: 'damaged' }
  try {
    const { pid, startedAt, token } = JSON.parse(text) as Partial<Holder>
    if (!Number.isSafeInteger(pid) || !/^[0-9a-f-]{36}$/.test(String(token))) return damaged
    return { pid: Number(pid), startedAt: startedAt === null ? null : String(startedAt), token: String(token) }
  } catch {
    return damaged
  }
}

async function tryLink(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to)
    return true
  } catch (err) {
    if ((err as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw err
  }
}

async function writeDurably(file: string, text: string): Promise<void> {
  const handle = await open(file, 'wx', 0o644)
  try {
    await handle.writeFile(text)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function inUse(lock: string, holder: Holder): EmbeddedPostgresError {
  const who = holder.pid === process.pid ? 'this very process' : `another process (pid ${holder.pid})`
  return new EmbeddedPostgresError(
    'FOLDER_IN_USE',
    `The data folder is in use by ${who}, says its lock file ${lock}; one folder serves one process: stop that one, ` +
      'or choose another DATA_DIR, or give both the same DATABASE_URL.'
  )
}
