/** What `verify --all` has done, in memory and in a file if one is named, so that it can go on after it was ended. */
import { readFile, rename, rm, writeFile } from 'node:fs/promises'
import type { Finding } from '../domain/inspection.js'
import type { Looked, Outcome, Task } from '../services/verify-store.js'
import { UsageError } from './exit-codes.js'

/** Findings that are told; others are counted. */
const FINDINGS_MAX = 10_000
const VERSION = 1

type Noted = { version: number; storeId: string; left: Task[]; looked: Looked; findings: Finding[]; more: number }

export type VerifyState = {
  /** What is still to be done. */
  left(): readonly Task[]
  /** A task is done. */
  note(task: Task, outcome: Outcome): Promise<void>
  looked(): Looked
  findings(): readonly Finding[]
  /** findings that are not told */
  more(): number
  /** All is done: the file goes. */
  end(): Promise<void>
}

/** Goes on from `file` if it is there, else begins with the tasks. Throws UsageError if the file is of another store or none of ours. */
export async function openVerifyState(
  file: string | undefined,
  storeId: string,
  tasks: () => Promise<Task[]>
): Promise<VerifyState> {
  const noted = (file === undefined ? null : await read(file, storeId)) ?? {
    version: VERSION,
    storeId,
    left: await tasks(),
    looked: { users: 0, events: 0, snapshots: 0, rows: 0, offlineUsers: 0 },
    findings: [],
    more: 0
  }
  let writing = Promise.resolve()
  async function write(): Promise<void> {
    if (file === undefined) return
    await writeFile(`${file}.new`, JSON.stringify(noted), { mode: 0o600 })
    await rename(`${file}.new`, file)
  }
  return {
    left: () => noted.left,
    async note(task, { findings, more, looked }) {
      noted.left = noted.left.filter((each) => each !== task)
      const room = FINDINGS_MAX - noted.findings.length
      noted.findings.push(...findings.slice(0, room))
      noted.more += more + Math.max(0, findings.length - room)
      for (const name of Object.keys(looked) as (keyof Looked)[]) noted.looked[name] += looked[name]
      writing = writing.then(write)
      await writing
    },
    looked: () => noted.looked,
    findings: () => noted.findings,
    more: () => noted.more,
    async end() {
      if (file !== undefined) await rm(file, { force: true })
    }
  }
}

async function read(file: string, storeId: string): Promise<Noted | null> {
  const text = await readFile(file, 'utf8').catch((err: NodeJS.ErrnoException) => {
    if (err.code === 'ENOENT') return null
    throw new UsageError(`${file} cannot be read (${err.code}).`)
  })
  if (text === null) return null
  const noted = parse(text)
  if (noted?.version !== VERSION)
    throw new UsageError(`${file} is no state of verify. Name another file, or remove it.`)
  if (noted.storeId !== storeId)
    throw new UsageError(
      `${file} is of the store ${noted.storeId}, and this is ${storeId}. Name another file, or remove it.`
    )
  return noted
}

function parse(text: string): Noted | null {
  try {
    return JSON.parse(text) as Noted
  } catch {
    return null
  }
}
