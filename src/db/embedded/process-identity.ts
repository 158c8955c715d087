// Tells whether a process seen earlier is still the one running under its pid. The kernel hands pids out again, so a pid alone
// proves nothing after a crash; on Linux a pid together with the moment it started does. Elsewhere the pid has to do.

import { readFile } from 'node:fs/promises'

/** `startedAt` names the boot and the clock tick within it; null where the system does not tell. */
export type ProcessIdentity = { pid: number; startedAt: string | null }

/** The process now running under `pid`, or null if there is none or it is dead and only waits to be reaped. */
export async function identify(pid: number): Promise<ProcessIdentity | null> {
  // To kill(), 0 and negative numbers mean whole process groups.
  if (!Number.isSafeInteger(pid) || pid < 1 || !answersSignals(pid)) return null
  if (process.platform !== 'linux') return { pid, startedAt: null }
  const [boot, stat] = await Promise.all([
    readOrNull('/proc/sys/kernel/random/boot_id'),
    readOrNull(`/proc/${pid}/stat`)
  ])
  if (boot === null || stat === null) return answersSignals(pid) ? { pid, startedAt: null } : null
  // proc(5): the second field is the program's name in parentheses and may itself hold spaces and parentheses, so count from the
  // last one. Then come field 3, the state, and in the end field 22, the start time in ticks since boot.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
  const [state, ticks] = [fields[0], fields[19]]
  return state === 'Z' || state === 'X' ? null : { pid, startedAt: `${boot.trim()}:${ticks}` }
}

/** Whether the very process of `identity` still runs. Where start times are unknown, any process with its pid counts. */
export async function isRunning(identity: ProcessIdentity): Promise<boolean> {
  const now = await identify(identity.pid)
  if (now === null) return false
  return now.startedAt === null || identity.startedAt === null || now.startedAt === identity.startedAt
}

function answersSignals(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (err) {
    // EPERM: it lives, but belongs to someone else.
    return (err as NodeJS.ErrnoException).code === 'EPERM'
  }
}

async function readOrNull(file: string): Promise<string | null> {
  return readFile(file, 'utf8').catch(() => null)
}
