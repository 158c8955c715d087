/** `user-events snapshots`, `outbox`, `projections`, `types`, `archive`: what an operator does, wherever the store is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cliTargets, onEach } from '../support/cli.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { startReceiver } from '../support/receiver.js'
import { until } from '../support/wait.js'

t.setTimeout(180_000)

const targets = await cliTargets(t)
const everywhere = onEach(t, targets)

everywhere('snapshots are made, listed and deleted', async (t, { append, json, run }) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  t.equal((await run('snapshots', 'list', userId)).out, 'The user has no snapshots.\n')
  t.match(await run('snapshots', 'create', userId), { code: 0, out: 'There is a snapshot of version 1.\n' })
  await append(userId, updates(1))
  t.match(await json(['snapshots', 'create', userId, '--reason', 'before the move']), { version: 2 })
  t.match(await json(['snapshots', 'list', userId]), [
    { version: 2, metadata: { reason: 'before the move' } },
    { version: 1 }
  ])
  t.match((await run('snapshots', 'list', userId)).out, /^version +bytes +reason .*\n +2 +\d+ +before the move/)
  t.match(await json(['snapshots', 'cleanup', userId, '--retain', '1']), { deleted: 1 })
  t.match(await run('snapshots', 'cleanup', '--older-than-days', '1'), { code: 0, out: '0 snapshots were deleted.\n' })
  for (const args of [[], [userId], ['--retain', '1'], [userId, '--older-than-days', '1']])
    t.match(await run('snapshots', 'cleanup', ...args), { code: 2, err: /Name a user and --retain/ })
  t.match(await run('snapshots', 'create', newUserId()), { code: 3, err: /USER_NOT_FOUND/ })
})

everywhere('dead letters are shown, tried again and given up', async (t, { append, ask, json, run }) => {
  const [bad, good] = [newUserId(), newUserId()]
  let refuses = true
  const receiver = await startReceiver(t, ({ body }, response) => {
    response.statusCode = refuses && body.includes(bad) ? 400 : 200
    response.end()
  })
  const retry = { baseDelayMs: 10, factor: 1, jitter: 0, maxDelayMs: 10, maxAttempts: 2 }
  const sink = { kind: 'webhook', url: receiver.url }
  t.equal((await ask('POST', '/admin/subscriptions', { name: 'crm', sink, start: 'now', retry })).status, 201)
  await append(bad, [userCreated(), ...updates(1)])
  await append(good, [userCreated()])
  const dead = () => json(['outbox', 'dead', 'crm'])
  await until(async () => (await dead()).length === 1, { timeoutMs: 60_000 })
  t.match(await dead(), [{ userId: bad, version: 1, attempts: 2 }])
  t.match((await run('outbox', 'dead', 'crm', '--user', good)).out, 'There are no dead letters.')
  t.match((await run('outbox', 'dead', 'crm')).out, new RegExp(`^user +version .*\n${bad} +1 `))
  t.match(await json(['outbox', 'status']), [{ name: 'crm', dead: 1, pending: 1 }])
  t.match((await run('outbox', 'status')).out, /^name +scope +state .*\ncrm +tenant +active/)

  t.match(await run('outbox', 'retry', 'crm'), { code: 2, err: /Say whose/ })
  t.match(await run('outbox', 'retry', 'crm', '--all', '--user', bad), { code: 2, err: /cannot be used with/ })
  t.match(await run('outbox', 'discard', 'crm', '--all'), { code: 2, err: /--reason/ })
  t.match(await run('outbox', 'retry', 'none', '--all'), { code: 3, err: /SUBSCRIPTION_NOT_FOUND/ })
  t.match(await run('outbox', 'retry', 'crm', '--all', '--global'), { code: 3, err: /SUBSCRIPTION_NOT_FOUND/ })

  t.match(await run('outbox', 'discard', 'crm', '--user', bad, '--version', '1', '--reason', 'a test'), {
    code: 0,
    out: '1 events were given up.\n'
  })
  await until(async () => (await dead()).some(({ version }: { version: number }) => version === 2), {
    timeoutMs: 60_000
  })
  refuses = false
  t.match(await json(['outbox', 'retry', 'crm', '--all']), { retried: 1 })
  await until(async () => (await json(['outbox', 'status']))[0].pending === 0, { timeoutMs: 60_000 })
  t.strictSame(await dead(), [])
  await ask('DELETE', '/admin/subscriptions/crm')
})

everywhere('projections are shown and rebuilt', async (t, { append, json, run }) => {
  await append(newUserId(), [userCreated(), ...updates(3)])
  const [before] = await json(['projections', 'status'])
  t.match(before, { name: 'users', parkedUsers: 0 })
  t.match((await run('projections', 'status')).out, /^name +version .*\nusers /)
  t.match(await run('projections', 'rebuild', 'users', '--wait'), { code: 0, out: 'users was rebuilt.\n' })
  const [after] = await json(['projections', 'status'])
  t.ok(after.filledAt > before.filledAt)
  t.match(await run('projections', 'parked', 'users'), { code: 0, out: 'It put nobody aside.\n' })
  t.match(await run('projections', 'rebuild', 'none'), { code: 3, err: /PROJECTION_NOT_FOUND/ })
})

everywhere('types are listed, checked and registered', async (t, { json, run }) => {
  const folder = await mkdtemp(join(tmpdir(), 'user-events-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'type.json')
  const define = (schema: object, more: object = {}) =>
    writeFile(file, JSON.stringify({ schema, effect: { kind: 'merge', namespace: 'address' }, ...more }))
  const city = { type: 'object', properties: { city: { type: 'string' } }, required: ['city'] }
  await define(city)
  t.match(await run('types', 'check', 'Moved', '1', '--file', file), {
    code: 0,
    out: /can be registered, and breaks nothing/
  })
  t.notMatch(await json(['types', 'list']), [{ eventType: 'Moved' }])
  t.match(await run('types', 'register', 'Moved', '1', '--file', file), { code: 0, out: 'Moved 1 is registered.\n' })
  t.ok((await json(['types', 'list'])).some(({ eventType }: { eventType: string }) => eventType === 'Moved'))
  t.match((await run('types', 'list')).out, /\nMoved +tenant +1/)
  t.match(await json(['types', 'show', 'Moved']), { eventType: 'Moved', history: [{ version: 1, schema: city }] })

  await define(
    { ...city, properties: { ...city.properties, zip: { type: 'string' } }, required: ['city', 'zip'] },
    {
      upcast: [{ op: 'add', path: '/zip', value: '?' }]
    }
  )
  const { code, out } = await run('types', 'check', 'Moved', '2', '--file', file)
  t.equal(code, 1)
  t.match(out, /^old data, new schema, at /)
  t.match(await run('types', 'check', 'Moved', '9', '--file', file), { code: 3, err: /EVENT_TYPE_VERSION_GAP/ })
  await writeFile(file, '{')
  t.match(await run('types', 'check', 'Moved', '2', '--file', file), {
    code: 2,
    err: /is no definition of an event type/
  })
  t.match(await run('types', 'check', 'Moved', '2', '--file', join(folder, 'none')), { code: 2, err: /ENOENT/ })
})

everywhere('a run of the archive is asked for, and shown', async (t, { json, run }) => {
  t.match(
    (await run('archive', 'status')).out,
    /^Events: \d+ hot, 0 in the archive, 0 offline\.\n.*\n.*\nThere was no run yet/
  )
  const { id } = await json(['archive', 'run', '--dry-run'])
  const done = await until(async () => {
    const { runs } = await json(['archive', 'status'])
    return runs.find((each: { id: string; status: string }) => each.id === id && each.status === 'done')
  })
  t.match(done, { dryRun: true, origin: 'request' })
  t.match((await run('archive', 'status')).out, / request +yes +done /)
})
