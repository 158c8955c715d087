/** `user-events replay`, `history`, `diff`, `stats`: on a database, on an embedded one that is served, at a URL. */
import t from 'tap'
import { cliTargets, onEach, runIn } from '../support/cli.js'
import { loggedIn, newUserId, updates, userCreated, userUpdated } from '../support/events.js'

const targets = await cliTargets(t)
const everywhere = onEach(t, targets)

everywhere('replay shows the state now, at a version and at a moment, and how it came to be', async (t, target) => {
  const { append, json, run } = target
  const userId = newUserId()
  await append(userId, [userCreated()])
  await append(userId, [loggedIn(), userUpdated({ fullName: 'Ada \u202eLovelace' })])
  const { asOf } = await json(['replay', userId, '--version', '1'])
  t.match(await json(['replay', userId]), { version: 3, state: { totalLogins: 1 } })
  t.match(await json(['replay', userId, '--version', '2', '--no-snapshot']), {
    version: 2,
    replay: { source: 'events' }
  })
  t.match(await json(['replay', userId, '--at', asOf]), { version: 1, state: { totalLogins: 0 } })
  const { out } = await run('replay', userId)
  t.match(out, /^Version 3 as of 20.* \(from \w+, \d events applied\)\n\{\n {2}"id"/)
  t.match(out, 'Ada \\u202eLovelace')
  t.match(await run('replay', userId, '--version', '4'), {
    code: 3,
    err: /newest is 3\. .*\(VERSION_NOT_FOUND\)/,
    out: ''
  })
  t.match(await run('replay', newUserId()), { code: 3, err: /USER_NOT_FOUND/ })
})

everywhere('replay --explain shows what each event did, page after page', async (t, { append, run }) => {
  const userId = newUserId()
  await append(userId, [userCreated(), loggedIn(), ...updates(250)])
  const { code, out } = await run('replay', userId, '--explain', '--version', '202', '--json')
  t.equal(code, 0)
  const effects = out
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line))
  t.strictSame(
    effects.map(({ version }) => version),
    Array.from({ length: 202 }, (_, i) => i + 1)
  )
  t.match(effects[1], { eventType: 'LoginInfoUpdated', operations: [{}, {}, { path: '/totalLogins', value: 1 }] })
  const shown = (await run('replay', userId, '--explain', '--version', '3')).out
  t.match(shown, /^1 UserCreated {2}20.*Z\n {2}\+ \/id "?/)
  t.match(shown, /\n3 UserUpdated {2}.*\n {2}~ \/updatedAt .*\n {2}~ \/fullName Name 0\nVersion 3 as of/)
})

everywhere('history shows the events that are asked for', async (t, { append, run }) => {
  const userId = newUserId()
  await append(userId, [userCreated(), loggedIn(), userUpdated({ fullName: 'Ada' })])
  const versions = async (...args: string[]) => {
    const { out } = await run('history', userId, ...args, '--json')
    return out
      .split('\n')
      .slice(0, -1)
      .map((line) => JSON.parse(line).version)
  }
  t.strictSame(await versions(), [1, 2, 3])
  t.strictSame(await versions('--backward', '--to-version', '2'), [2, 1])
  t.strictSame(await versions('--type', 'UserCreated', '--type', 'UserUpdated', '--from-version', '2'), [3])
  t.strictSame(await versions('--from', '2999-01-01T00:00:00Z'), [])
  const { out } = await run('history', userId, '--from-version', '3')
  t.match(out, /^ {5}3 {2}20\S+Z {2}UserUpdated {2}\{"fullName":"Ada"\}\n$/)
  t.match(await run('history', userId, '--type', 'None'), { code: 0, out: '', err: /No event of the user is among/ })
  t.match(await run('history', userId, '--from-version', '3', '--to-version', '2'), { code: 2, err: /is after/ })
  t.match(await run('history', newUserId()), { code: 3, err: /USER_NOT_FOUND/ })
})

everywhere('diff shows what changed between two versions', async (t, { append, json, run }) => {
  const userId = newUserId()
  await append(userId, [
    userCreated(),
    userUpdated({ fullName: 'Ada', attributes: { a: 1 } }),
    userUpdated({ attributes: { a: null } })
  ])
  t.match(await json(['diff', userId, '2', '1']), {
    fromVersion: 2,
    toVersion: 1,
    operations: [{ path: '/updatedAt', value: null }, { op: 'remove', path: '/attributes/a' }, {}]
  })
  t.match((await run('diff', userId, '1', '2')).out, /\+ \/attributes\/a 1\n/)
  t.match((await run('diff', userId, '2', '1')).out, /- \/attributes\/a\n/)
  t.equal((await run('diff', userId, '2', '2')).out, 'Nothing changed.\n')
  t.match(await run('diff', userId, '0', '4'), { code: 3, err: /VERSION_NOT_FOUND/ })
})

everywhere('stats counts', async (t, { append, json, run }) => {
  const before = await json(['stats'])
  await append(newUserId(), [userCreated(), ...updates(2)])
  const { events, snapshots } = await json(['stats'])
  t.equal(events.totalEvents, before.events.totalEvents + 3)
  t.equal(events.totalUsers, before.events.totalUsers + 1)
  t.type(snapshots.totalSnapshots, 'number')
  t.match((await run('stats')).out, new RegExp(`^${events.totalEvents} events of ${events.totalUsers} users`))
})

t.test('what is no id, version or time is refused before anything is opened', async (t) => {
  for (const [args, says] of [
    [['replay', 'ada'], 'Expected a UUID.'],
    [['replay', newUserId(), '--version', '0'], 'Expected a whole number from 1'],
    [['replay', newUserId(), '--version', '1', '--at', '2026-01-01T00:00:00Z'], 'cannot be used with'],
    [['history', newUserId(), '--from', 'yesterday'], 'Expected an RFC 3339 date-time'],
    [['diff', newUserId(), '0', '2147483648'], 'Expected a whole number from 0 to 2147483647']
  ] as [string[], string][]) {
    t.match(await runIn({ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }, ...args), { code: 2, err: says })
  }
})
