/** `user-events export`, `import`, `tail`: events in and out, wherever the store is. */
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type CliTarget, cliTargets, onEach, runIn, runWith } from '../support/cli.js'
import { testDatabase } from '../support/db.js'
import { loggedIn, newUserId, updates, userCreated } from '../support/events.js'
import { startProxy } from '../support/proxy.js'
import { until } from '../support/wait.js'

const targets = await cliTargets(t)
const everywhere = onEach(t, targets)

async function testFolder(t: Test): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'user-events-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  return folder
}

everywhere('what was exported is imported elsewhere, once', async (t, { append, json, run }) => {
  const folder = await testFolder(t)
  const [ada, bob] = [newUserId(), newUserId()]
  await append(ada, [userCreated(), ...updates(20)])
  await append(bob, [userCreated('bob'), loggedIn()])
  const file = join(folder, 'events.ndjson')
  const { events } = await json(['export', '--out', file])
  const { out } = await run('export')
  t.equal(await readFile(file, 'utf8'), out, 'the same on stdout')
  t.equal(out.trim().split('\n').length, events)
  t.strictSame(await readdir(folder), ['events.ndjson'], 'nothing else is left')
  const one = (await run('export', '--user', bob, '--type', 'LoginInfoUpdated')).out
  t.match(JSON.parse(one), { aggregateId: bob, version: 2 })

  const other = await testDatabase(t, { empty: true })
  const env = { DATABASE_URL: other.url }
  t.match(await runIn(env, 'import', file), {
    code: 0,
    out: `Read ${events} lines: ${events} events are stored now, 0 were before.\n`
  })
  t.match(await runWith({ input: out }, env, 'import', '-', '--json'), {
    code: 0,
    out: new RegExp(`"imported":0,"duplicates":${events}`)
  })
  t.match((await runIn(env, 'replay', ada, '--json')).out, /"fullName":"Name 19"/)
})

everywhere('an export that cannot be written leaves nothing', async (t, { run }) => {
  const folder = await testFolder(t)
  t.match(await run('export', '--out', join(folder, 'none', 'events')), { code: 1, err: /ENOENT/ })
  t.strictSame(await readdir(folder), [])
})

/** Runs `tail` and gathers what it prints until it is ended. */
function tailing({ env }: CliTarget, ...args: string[]) {
  const ended = new AbortController()
  const lines: string[] = []
  const running = runWith(
    { signal: ended.signal, onOut: (text) => lines.push(...text.trimEnd().split('\n')) },
    env,
    'tail',
    ...args
  )
  return { lines, running, end: () => ended.abort() }
}

everywhere('tail shows events as they come, those that are asked for, and ends in order', async (t, target) => {
  const [ada, bob] = [newUserId(), newUserId()]
  await target.append(ada, [userCreated()])
  const all = tailing(target, '--json', '--from-beginning')
  const some = tailing(target, '--type', 'UserUpdated', '--user', bob)
  const seen = () => all.lines.map((line) => JSON.parse(line))
  await until(() => seen().some(({ aggregateId }) => aggregateId === ada))
  // The other may have begun later: events come until it has seen one.
  await target.append(bob, [userCreated('bob')])
  await until(
    async () => {
      await target.append(bob, updates(1))
      return some.lines.length > 0
    },
    { everyMs: 50 }
  )
  t.match(some.lines[0], new RegExp(`^ +\\d+ {2}20\\S+Z {2}${bob} \\d+ {2}UserUpdated {2}\\{"fullName":"Name 0"\\}$`))
  t.notMatch(some.lines.join(), 'UserCreated')
  await until(() => seen().some(({ aggregateId, version }) => aggregateId === bob && version === 2))
  all.end()
  some.end()
  t.match(await all.running, { code: 0, err: '' })
  t.match(await some.running, { code: 0 })
})

everywhere('tail ends after so many', async (t, target) => {
  await target.append(newUserId(), [userCreated(), ...updates(4)])
  const { code, out } = await target.run('tail', '--from-beginning', '--limit', '2', '--json')
  t.equal(code, 0)
  t.strictSame(
    out
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line).position),
    [1, 2]
  )
  t.match(await target.run('tail', '--after', 'nonsense'), { code: 3, err: /CURSOR/ })
})

t.test('tail goes on where it was when the connection was cut', async (t) => {
  const target = targets.find(({ name }) => name === '--url')!
  const proxy = await startProxy(t, target.env.USER_EVENTS_URL!)
  const through = { ...target, env: { ...target.env, USER_EVENTS_URL: proxy.url } }
  const userId = newUserId()
  const { lines, running, end } = tailing(through, '--json', '--from-beginning', '--user', userId)
  const versions = () => lines.map((line) => JSON.parse(line).version)
  await target.append(userId, [userCreated(), ...updates(2)])
  await until(() => versions().length === 3)
  proxy.reset()
  await target.append(userId, updates(3))
  await until(() => versions().length === 6)
  t.strictSame(versions(), [1, 2, 3, 4, 5, 6], 'nothing is missing and nothing comes twice')
  end()
  t.match(await running, { code: 0, err: /cut off; following again/ })
})

// The last: whoever is refused has its connection closed a while later, and this process has others of them.
everywhere(
  'a line that is bad ends the import and is named; a file that is not there is no line',
  async (t, { append, run, env }) => {
    t.match(await runWith({}, env, 'import', '-'), { code: 0, out: /^Read 0 lines/ })
    const folder = await testFolder(t)
    const userId = newUserId()
    await append(userId, [userCreated(), ...updates(2)])
    const [first, second] = (await run('export', '--user', userId)).out.split('\n') as [string, string]
    const file = join(folder, 'bad.ndjson')
    await writeFile(file, `${first}\n${second.replace('"version":2', '"version":7')}\n${'x'.repeat(2_000_000)}`)
    const { code, err, out } = await run('import', file)
    t.strictSame({ code, out }, { code: 3, out: '' })
    t.match(err, /line 2.*\(IMPORT_LINE_INVALID\)/i)
    t.match(await run('import', join(folder, 'none')), { code: 2, err: /cannot be read \(ENOENT\)/ })
  }
)
