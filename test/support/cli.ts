/** `user-events …` as an operator runs it, on each kind of store that it works on. */
import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable, Writable } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Test } from 'tap'
import { run } from '../../src/cli/run.js'
import { ADMIN_KEY, bearing, GUARDED } from './access.js'
import type { TestDatabase } from './db.js'
import { startProcess } from './process.js'
import { listen, testService } from './service.js'

export const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

const OUTPUT_MAX = 64 * 2 ** 20

export type Ended = { code: number; out: string; err: string }

/** Runs the built command in a process of its own, in this environment, and tells how it ended. */
export async function cliIn(env: Record<string, string>, ...args: string[]): Promise<Ended> {
  const options = { env: { PATH: process.env.PATH ?? '', ...env }, maxBuffer: OUTPUT_MAX }
  try {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [MAIN, ...args], options)
    return { code: 0, out: stdout, err: stderr }
  } catch (err) {
    const { code, stdout, stderr } = err as { code: number; stdout: string; stderr: string }
    return { code, out: stdout, err: stderr }
  }
}

/** Runs the command on a database and tells how it ended. */
export const cli = ({ url }: Pick<TestDatabase, 'url'>, ...args: string[]): Promise<Ended> =>
  cliIn({ DATABASE_URL: url }, ...args)

/** The same in this process, which takes a fraction of the time. */
export const runIn = (env: Record<string, string>, ...args: string[]): Promise<Ended> => runWith({}, env, ...args)

/** The same with something on stdin, and a signal to end it. */
export async function runWith(
  { input = '', signal, onOut = () => {} }: { input?: string; signal?: AbortSignal; onOut?: (text: string) => void },
  env: Record<string, string>,
  ...args: string[]
): Promise<Ended> {
  const texts = { out: '', err: '' }
  const into = (name: 'out' | 'err') =>
    new Writable({
      write(chunk, _encoding, done) {
        texts[name] += chunk
        if (name === 'out') onOut(String(chunk))
        done()
      }
    })
  const code = await run(env, args, {
    stdin: Readable.from([Buffer.from(input)]),
    stdout: into('out'),
    stderr: into('err'),
    ...(signal ? { onInterrupt: () => signal } : {})
  })
  return { code, ...texts }
}

export type Answered = { status: number; data: any }

/** A store as a command finds it. */
export type CliTarget = {
  name: string
  /** what tells the command where the store is */
  env: Record<string, string>
  run(...args: string[]): Promise<Ended>
  /** What it prints with --json, parsed; fails the test unless it ends with `code`. */
  json(args: readonly string[], code?: number): Promise<any>
  /** Asks the service that runs on the store, as somebody who may do everything. */
  ask(method: string, path: string, body?: object): Promise<Answered>
  /** POST /users/{userId}/events; throws unless they are stored. */
  append(userId: string, events: object[]): Promise<void>
}

/** Receivers of tests are on this machine. */
const SETTINGS = { WEBHOOK_PRIVATE_ADDRESSES: 'true' }

type Place = { name: string; env: Record<string, string>; url: string; headers?: Record<string, string> }

/** The command on DATABASE_URL, on an embedded database while the service runs on it, and against a service at --url with a key. */
export async function cliTargets(t: Test): Promise<CliTarget[]> {
  return (await Promise.all([onDatabase(t), onEmbedded(t), atUrl(t)])).map((place) => targetOf(t, place))
}

/** Those of them that are databases. */
export async function cliDatabases(t: Test): Promise<CliTarget[]> {
  return (await Promise.all([onDatabase(t), onEmbedded(t)])).map((place) => targetOf(t, place))
}

/** Makes tests that are run on each of the targets. */
export const onEach =
  (t: Test, targets: readonly CliTarget[]) =>
  (name: string, test: (t: Test, target: CliTarget) => Promise<void>): void => {
    t.test(name, async (t) => {
      for (const target of targets) await t.test(target.name, (t) => test(t, target))
    })
  }

async function onDatabase(t: Test): Promise<Place> {
  const service = await testService(t, { background: true, env: SETTINGS })
  return { name: 'DATABASE_URL', env: { DATABASE_URL: service.database.url }, url: await listen(service) }
}

async function onEmbedded(t: Test): Promise<Place> {
  const folder = await mkdtemp(join(tmpdir(), 'user-events-cli-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const env = { DATA_DIR: join(folder, 'data') }
  const { url, end } = await startProcess(t, { ...env, ...SETTINGS }, folder)
  t.teardown(() => end('SIGTERM'))
  return { name: 'embedded', env, url }
}

async function atUrl(t: Test): Promise<Place> {
  const url = await listen(await testService(t, { background: true, env: { ...GUARDED, ...SETTINGS } }))
  const env = { USER_EVENTS_URL: url, USER_EVENTS_KEY: ADMIN_KEY }
  return { name: '--url', env, url, headers: bearing(ADMIN_KEY) }
}

function targetOf(t: Test, { name, env, url, headers = {} }: Place): CliTarget {
  async function ask(method: string, path: string, body?: object): Promise<Answered> {
    const answer = await fetch(url + path, {
      method,
      headers: { ...headers, ...(body ? { 'content-type': 'application/json' } : {}) },
      ...(body ? { body: JSON.stringify(body) } : {})
    })
    const text = await answer.text()
    return { status: answer.status, data: text === '' ? null : JSON.parse(text) }
  }
  return {
    name,
    env,
    ask,
    run: (...args) => runIn(env, ...args),
    async json(args, code = 0) {
      const ended = await runIn(env, ...args, '--json')
      if (ended.code !== code) t.fail(`${args.join(' ')} ended with ${ended.code} on ${name}`, ended)
      return JSON.parse(ended.out)
    },
    async append(userId, events) {
      const { status, data } = await ask('POST', `/users/${userId}/events`, { events })
      if (status !== 201) throw new Error(JSON.stringify(data))
    }
  }
}
