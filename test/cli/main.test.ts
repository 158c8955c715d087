/** What holds for every command: where it works, what it prints, how it ends. */
import { execFile } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { type AddressInfo, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { setImmediate } from 'node:timers/promises'
import { WriteStream } from 'node:tty'
import { promisify } from 'node:util'
import t from 'tap'
import { createOutput, plain, table } from '../../src/cli/output.js'
import { lineOf, reportProgress } from '../../src/cli/progress.js'
import { cli, cliIn, MAIN, runIn } from '../support/cli.js'
import { testDatabase } from '../support/db.js'

t.test('a service that is not there is said to be, and ends with 4', async (t) => {
  const url = await deadUrl()
  const { code, err } = await runIn({}, 'key', 'list', '--url', url)
  t.equal(code, 4)
  t.match(err, `error: ${url} does not answer (ECONNREFUSED). Check`)
})

t.test('a database that is not there ends with 4, a setting that is wrong with 2', async (t) => {
  const gone = await runIn({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }, 'key', 'list')
  t.match(gone, { code: 4, err: /ECONNREFUSED/, out: '' })
  t.match(await runIn({ DATABASE_URL: 'mysql://x' }, 'key', 'list'), { code: 2, err: /DATABASE_URL/ })
})

t.test('what is typed wrong is said, with what was meant, and ends with 2', async (t) => {
  t.match(await runIn({}, 'kee'), { code: 2, err: /unknown command 'kee'\n\(Did you mean key\?\)/ })
  t.match(await runIn({}, 'key', 'list', '--jsno'), { code: 2, err: /unknown option '--jsno'/ })
  t.match(await runIn({}, 'key', 'list', '--url', 'localhost'), { code: 2, err: /Expected a URL such as/ })
  t.match(await runIn({}, 'key', 'list', '--key', 'x'), { code: 2, err: /--key is for the service at --url/ })
  t.match(await runIn({}, 'archive', 'list', '--url', 'http://127.0.0.1:1'), {
    code: 2,
    err: /user-events archive list works on the database only/
  })
  t.match(await runIn({}), { code: 2 }, 'no command is no command')
})

t.test('help is no mistake', async (t) => {
  for (const args of [['--help'], ['help', 'key'], ['key', 'create', '--help']]) {
    const { code, out } = await runIn({}, ...args)
    t.equal(code, 0)
    t.match(out, /Usage: user-events/)
  }
})

t.test('a database of an older version is left as it is', async (t) => {
  const database = await testDatabase(t)
  await database.run('DELETE FROM schema_migrations WHERE number = (SELECT max(number) FROM schema_migrations)')
  t.match(await cli(database, 'key', 'list'), { code: 1, err: /it lacks 00\d\d_\w+\. Run user-events migrate up/ })
})

t.test('a table lines up, numbers on the right, and nothing in it speaks to the terminal', async (t) => {
  t.equal(
    table([
      { name: 'a', events: 5 },
      { name: 'b\x1b[31m\n', events: 1234 }
    ]),
    ['name               events', 'a                       5', 'b\\u001b[31m\\u000a    1234'].join('\n')
  )
  t.equal(plain('\u202etxt.exe\u009b'), '\\u202etxt.exe\\u009b', 'nor turns text around')
  t.equal(plain({ a: [1, 'ü'] }), '{"a":[1,"ü"]}')
})

t.test('progress tells how much, how fast and how long', async (t) => {
  t.equal(
    lineOf({ what: 'checked', total: 1000, done: 250, ms: 5000 }),
    '[#####...............] 250 of 1000 checked, 50 a second, 15 s left'
  )
  t.equal(lineOf({ what: 'read', total: null, done: 10, ms: 1000 }), '10 read, 10 a second')
  t.match(lineOf({ what: 'x', total: 100_000, done: 1, ms: 1000 }), /27 h 46 min left$/)
  t.match(lineOf({ what: 'x', total: 100, done: 1, ms: 1000 }), /1 min 39 s left$/)
  t.equal(lineOf({ what: 'x', total: 0, done: 0, ms: 0 }), '[####################] 0 of 0 x, 0 a second, 0 s left')
  const written: string[] = []
  const to = (isTTY: boolean) => ({ isTTY, write: (text: string) => written.push(text) })
  reportProgress('done', 1, to(false)).end()
  t.strictSame(written, [], 'a file gets none of it')
  const { add, end } = reportProgress('done', 2, to(true))
  add(2)
  end()
  t.match(written.at(-1), /^\r\[#{20}\] 2 of 2 done, \d+ a second, 0 s left/)
})

t.test('colours are for terminals, and not where NO_COLOR is set', async (t) => {
  const stream = (more: object) => Object.assign(new PassThrough(), more)
  const styled = (stdout: PassThrough) => createOutput(false, { stdout, stderr: stdout }).styled('red', 'x')
  const depth = (env: object) => () => WriteStream.prototype.getColorDepth({ TERM: 'xterm-256color', ...env })
  t.equal(styled(stream({ isTTY: true, getColorDepth: depth({}) })), '\u001b[31mx\u001b[39m')
  t.equal(styled(stream({ isTTY: true, getColorDepth: depth({ NO_COLOR: '1' }) })), 'x')
  t.equal(styled(stream({})), 'x')
})

t.test('whoever reads the output may stop, and a slow reader is waited for', async (t) => {
  const slow = new PassThrough({ highWaterMark: 1 })
  const { line } = createOutput(false, { stdout: slow, stderr: slow })
  let written = false
  const writing = line('more than it takes').then(() => {
    written = true
  })
  await setImmediate()
  t.notOk(written)
  slow.resume()
  await writing
  const { stdout } = await promisify(execFile)('bash', [
    '-c',
    `"${process.execPath}" "${MAIN}" --help | head -1; echo "${'$'}{PIPESTATUS[0]}"`
  ])
  t.match(stdout, /^Usage: .*\n0\n$/)
})

t.test('an embedded database that nobody runs is there for the command alone', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'user-events-cli-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const env = { DATA_DIR: join(folder, 'data') }
  t.match(await cliIn(env, 'stats', '--json'), { code: 0, out: /"totalEvents":0/ })
  const left = (await readdir(env.DATA_DIR, { recursive: true })).filter((file) => file.endsWith('postmaster.pid'))
  t.strictSame(left, [], 'and does not run any more')
  t.match(await cliIn(env, 'verify', '--all'), { code: 0, out: /All is right: 0 events/ })
})

/** Where a service was. */
async function deadUrl(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  server.close()
  await once(server, 'close')
  return `http://127.0.0.1:${port}`
}
