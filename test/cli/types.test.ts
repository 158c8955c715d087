/** `user-events types` and runs of the archive, wherever the store is. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { cliTargets, onEach } from '../support/cli.js'
import { until } from '../support/wait.js'

const everywhere = onEach(t, await cliTargets(t))

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

everywhere('a run of the archive is asked for, and shown', async (t, { ask, json, run }) => {
  t.match(
    (await run('archive', 'status')).out,
    /^Events: \d+ hot, 0 in the archive, 0 offline\.\n.*\n.*\nThere was no run yet/
  )
  const { id } = await json(['archive', 'run', '--dry-run'])
  const done = await until(async () => {
    const { runs } = (await ask('GET', '/admin/archive')).data
    return runs.find((each: { id: string; status: string }) => each.id === id && each.status === 'done')
  })
  t.match(done, { dryRun: true, origin: 'request' })
  t.match((await run('archive', 'status')).out, / request +yes +done /)
})
