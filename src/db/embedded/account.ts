// Chooses the account PostgreSQL runs as. PostgreSQL refuses to run as root, and its data folder must belong to the account that
// runs it. Nothing is ever added to the machine's accounts and no existing data changes its owner:
// - a service that is not root runs PostgreSQL as itself;
// - a root service gives a new cluster to `nobody`, and runs an existing one as the cluster's owner;
// - where `nobody` may not walk to the folder or the programs (below a private home, say), PostgreSQL runs in a user namespace in
//   which root is called `nobody`: the kernel still sees root, so the paths open, and PostgreSQL sees someone else.

import { execFile } from 'node:child_process'
import { readFile, stat } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { promisify } from 'node:util'
import { EmbeddedPostgresError } from './error.js'

/** How to start PostgreSQL's programs: as `owner`, if given, and with the words of `prefix` before the command. */
export type Account = { owner: { uid: number; gid: number } | null; prefix: string[] }

/** No environment of the service's reaches PostgreSQL: PG* variables would change settings, others may hold secrets. */
export const programEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  LC_ALL: 'C',
  TZ: 'UTC'
}

/**
 * The account for the cluster folder `cluster`, which may be missing or empty. `paths` are the folders and programs it must get to.
 * Throws ACCOUNT_UNUSABLE if there is none.
 */
export async function chooseAccount(cluster: string, paths: string[]): Promise<Account> {
  const self = process.getuid?.()
  const owner = await stat(join(cluster, 'PG_VERSION')).catch(() => null)
  if (self !== 0) {
    if (self !== undefined && owner !== null && owner.uid !== self) throw notTheOwner(cluster, owner.uid, self)
    return { owner: null, prefix: [] }
  }
  const account = owner === null ? await nobody() : { uid: owner.uid, gid: owner.gid }
  if (account.uid !== 0) {
    const barrier = await findBarrier(account, paths)
    if (barrier === null) return { owner: account, prefix: [] }
    if (owner !== null) throw outOfReach(cluster, account.uid, barrier)
  }
  return { owner: null, prefix: await namespacePrefix(cluster) }
}

// Read from the file, as the smallest container images lack the command `id`. macOS writes nobody's uid as -2.
async function nobody(): Promise<{ uid: number; gid: number }> {
  const accounts = await readFile('/etc/passwd', 'utf8').catch(() => '')
  const [, uid = '65534', gid = '65534'] = /^nobody:[^:]*:(-?\d+):(-?\d+):/m.exec(accounts) ?? []
  return { uid: Number(uid) >>> 0, gid: Number(gid) >>> 0 }
}

// The first file or folder on the way to any of `paths` that `account` may not enter or execute, or null.
async function findBarrier({ uid, gid }: { uid: number; gid: number }, paths: string[]): Promise<string | null> {
  const ways = new Set(paths.flatMap(wayTo))
  for (const step of ways) {
    const { mode, uid: owner, gid: group } = await stat(step)
    const allowed = owner === uid ? mode & 0o100 : group === gid ? mode & 0o010 : mode & 0o001
    if (!allowed) return step
  }
  return null
}

function wayTo(path: string): string[] {
  const parent = dirname(path)
  return parent === path ? [path] : [...wayTo(parent), path]
}

async function namespacePrefix(cluster: string): Promise<string[]> {
  const { uid, gid } = await nobody()
  const prefix = ['unshare', '--user', `--map-user=${uid}`, `--map-group=${gid}`]
  try {
    await promisify(execFile)('unshare', [...prefix.slice(1), 'true'], { env: programEnvironment })
    return prefix
  } catch (err) {
    throw new EmbeddedPostgresError(
      'ACCOUNT_UNUSABLE',
      `PostgreSQL refuses to run as root, the account nobody cannot use ${cluster}, and this machine allows no user ` +
        'namespaces; run the service as another user, or choose a DATA_DIR whose parent folders are open to all (chmod o+x), ' +
        'or set DATABASE_URL.',
      { cause: err }
    )
  }
}

function notTheOwner(cluster: string, owner: number, self: number): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'ACCOUNT_UNUSABLE',
    `The folder ${cluster} belongs to user id ${owner}, but the service runs as user id ${self}; run it as the owner, ` +
      'or give the whole data folder to this user (chown -R), or choose another DATA_DIR.'
  )
}

function outOfReach(cluster: string, owner: number, barrier: string): EmbeddedPostgresError {
  return new EmbeddedPostgresError(
    'ACCOUNT_UNUSABLE',
    `The folder ${cluster} belongs to user id ${owner}, who may not enter ${barrier}; open that to all (chmod o+x), ` +
      `or give the data folder to root (chown -R 0:0), or choose another DATA_DIR.`
  )
}
