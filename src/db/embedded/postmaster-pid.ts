// Reads postmaster.pid, the file a running PostgreSQL keeps in its data folder, and tells whether the process it names really is
// that PostgreSQL. The file outlives a killed server, and its pid may then belong to anyone: nothing may be concluded, and nobody
// signalled, from the pid alone.

import { readFile, readlink, realpath } from 'node:fs/promises'
import { basename, join } from 'node:path'

/** `pid` is the server's or, while single-user mode works on the folder, that one's; `ready` means it accepts connections. */
export type PostmasterPid = { pid: number; port: number; ready: boolean }

/** What `<cluster>/postmaster.pid` says, or null if it is missing or names no process. */
export async function readPostmasterPid(cluster: string): Promise<PostmasterPid | null> {
  const text = await readFile(join(cluster, 'postmaster.pid'), 'utf8').catch(() => '')
  // The lines are listed in PostgreSQL's src/include/utils/pidfile.h: pid (negative in single-user mode), data folder, start time,
  // port, socket folder, listen address, shared memory, status.
  const lines = text.split('\n').map((line) => line.trim())
  const pid = Math.abs(Number.parseInt(lines[0] ?? '', 10))
  if (!(pid > 0)) return null
  return { pid, port: Number.parseInt(lines[3] ?? '', 10) || 0, ready: lines[7] === 'ready' }
}

/** Whether process `pid` is a PostgreSQL working in the folder `cluster`; 'unknown' where only a connection can tell. */
export async function servesCluster(pid: number, cluster: string): Promise<boolean | 'unknown'> {
  if (process.platform !== 'linux') return 'unknown'
  try {
    // A postmaster changes into its data folder. Links to programs replaced by an upgrade end in " (deleted)".
    const [program, folder] = await Promise.all([readlink(`/proc/${pid}/exe`), readlink(`/proc/${pid}/cwd`)])
    return basename(program).split(' ')[0] === 'postgres' && folder === (await realpath(cluster))
  } catch (err) {
    return (err as NodeJS.ErrnoException).code === 'ENOENT' ? false : 'unknown'
  }
}
