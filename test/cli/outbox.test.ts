/** `user-events outbox`: dead letters, wherever the store is. */
import t from 'tap'
import { cliTargets, onEach } from '../support/cli.js'
import { newUserId, updates, userCreated } from '../support/events.js'
import { startReceiver } from '../support/receiver.js'
import { until } from '../support/wait.js'

const everywhere = onEach(t, await cliTargets(t))

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
  const owed = async (status: string): Promise<{ version: number }[]> =>
    (await ask('GET', `/admin/subscriptions/crm/outbox?status=${status}`)).data.owed
  await until(async () => (await owed('dead')).length === 1, { timeoutMs: 60_000 })
  t.match(await json(['outbox', 'dead', 'crm']), [{ userId: bad, version: 1, attempts: 2 }])
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
  await until(async () => (await owed('dead'))[0]?.version === 2, { timeoutMs: 60_000 })
  refuses = false
  t.match(await json(['outbox', 'retry', 'crm', '--all']), { retried: 1 })
  await until(async () => (await owed('pending')).length === 0, { timeoutMs: 60_000 })
  t.strictSame(await json(['outbox', 'dead', 'crm']), [])
  await ask('DELETE', '/admin/subscriptions/crm')
})
