/** Processes that a benchmark needs: database, services, the server that does nothing, and those that make load. */
import { fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import postgres, { type Sql } from 'postgres'
import { startEmbeddedPostgres } from '../../src/db/embedded/start.js'
import { migrate } from '../../src/db/migrate.js'
import type { Answers } from './answers.js'
import type { LoadPlan, LoadResult } from './load.js'
import type { RawPlan, RawResult } from './raw.js'

const here = (file: string): string => fileURLToPath(new URL(file, import.meta.url))

export type Server = { url: string; pid: number; stop(): Promise<void> }
export type Database = { url: string; sql: Sql }

export type Machine = Awaited<ReturnType<typeof bringMachine>>

/** An embedded PostgreSQL with default durability on disk, and what runs on it. */
export async function bringMachine() {
  const dataDir = await mkdtemp(join(tmpdir(), 'user-event-store-bench-'))
  // Every service that a whole run starts has a pool of its own.
  const cluster = await startEmbeddedPostgres({ dataDir, settings: { max_connections: '300' } })
  const releasers: (() => Promise<unknown>)[] = []

  /** Runs a file that logs its address when it is ready, as the service does. */
  async function startNode(args: string[], env: Record<string, string> = {}): Promise<Server> {
    const child = spawn(process.execPath, args, {
      env: { ...process.env, PORT: '0', ...env },
      stdio: ['ignore', 'pipe', 'inherit']
    })
    const url = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout!).on('line', (line) => {
        const { msg, address } = JSON.parse(line) as { msg?: string; address?: string }
        if (msg === 'ready' && address) resolve(address)
      })
      child.once('exit', (code) => reject(new Error(`${args.join(' ')} ended with code ${code}`)))
    })
    async function stop(): Promise<void> {
      if (child.exitCode !== null || child.signalCode !== null) return
      child.kill('SIGTERM')
      await once(child, 'exit')
    }
    releasers.push(stop)
    return { url, pid: child.pid!, stop }
  }

  /** A process that carries out one plan at a time; it is started once, since that takes as long as a short plan. */
  function worker<Plan extends object, Result>(file: string): (plan: Plan) => Promise<Result> {
    const child = fork(here(file), { execArgv: ['--import', 'tsx'] })
    releasers.push(async () => child.kill())
    return async (plan) => {
      child.send(plan)
      const done = new AbortController()
      const { signal } = done
      try {
        const [result] = await Promise.race([
          once(child, 'message', { signal }),
          once(child, 'exit', { signal }).then(() => {
            throw new Error(`${file} ended.`)
          })
        ])
        return result as Result
      } finally {
        // Whoever lost the race listens no longer.
        done.abort()
      }
    }
  }

  return {
    /** A migrated database of its own. */
    async createDatabase(name: string): Promise<Database> {
      const admin = postgres(cluster.url, { max: 1, onnotice: () => {} })
      await admin.unsafe(`CREATE DATABASE ${name}`)
      await admin.end()
      const url = new URL(cluster.url)
      url.pathname = `/${name}`
      await migrate(url.href)
      const sql = postgres(url.href, { max: 1, onnotice: () => {}, fetch_types: false })
      releasers.push(() => sql.end({ timeout: 5 }))
      return { url: url.href, sql }
    },

    /** The built service on a database. */
    startService: (database: Database, env: Record<string, string> = {}): Promise<Server> =>
      startNode([here('../../dist/main.js')], { DATABASE_URL: database.url, ...env }),

    /** The server that does nothing, with the answers that it gives. */
    async startNothing(answers: Answers): Promise<Server> {
      const file = join(dataDir, 'answers.json')
      await writeFile(file, JSON.stringify(answers))
      return await startNode(['--import', 'tsx', here('nothing-server.ts'), file])
    },

    /** Load over HTTP. */
    load: worker<LoadPlan, LoadResult>('load.ts'),
    /** The same, beside that. */
    noise: worker<LoadPlan, LoadResult>('load.ts'),
    /** Statements straight to PostgreSQL. */
    raw: worker<RawPlan, RawResult>('raw.ts'),

    /** Has `release` called when the benchmark is over. */
    onStop(release: () => Promise<unknown>): void {
      releasers.push(release)
    },

    async stop(): Promise<void> {
      for (const release of releasers.reverse()) await release()
      await cluster.stop()
      await rm(dataDir, { recursive: true, force: true })
    }
  }
}

/** Resident memory of a process, bytes. */
export function residentBytes(pid: number): number {
  const [, kB = '0'] = /VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8')) ?? []
  return Number(kB) * 1024
}
