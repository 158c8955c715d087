/** The example of the guide is what somebody would copy: it is compiled against the contract, and run against the service. */
import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import t from 'tap'
import { newUserId, userCreated } from './support/events.js'
import { listen, testService } from './support/service.js'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const run = promisify(execFile)

type Example = { suspendAfterFailures(userId: string, commandId: string): Promise<'suspended' | 'not needed'> }

t.test('a command handler decides on what it has read, and anew when it was overtaken', async (t) => {
  const readme = await readFile(join(ROOT, 'README.md'), 'utf8')
  const [, code] = /^```ts\n(.*?)^```$/ms.exec(readme.split(/^## Guide$/m)[1]!)!
  // Beside the packages that it imports.
  await mkdir(join(ROOT, 'node_modules/.cache'), { recursive: true })
  const folder = await mkdtemp(join(ROOT, 'node_modules/.cache/guide-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const file = join(folder, 'example.ts')
  await writeFile(file, code!)
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }')
  const bin = (name: string) => join(ROOT, 'node_modules/.bin', name)
  await run(bin('openapi-typescript'), [
    join(ROOT, 'openapi/openapi.yaml'),
    '-o',
    join(folder, 'user-event-store.d.ts')
  ])
  const strict = ['--noEmit', '--strict', '--module', 'nodenext', '--target', 'es2023', '--types', 'node']
  await run(bin('tsc'), [...strict, '--skipLibCheck', file]).catch((err) => t.fail(err.stdout))

  const service = await testService(t)
  process.env.STORE = await listen(service)
  const { suspendAfterFailures } = (await import(pathToFileURL(file).href)) as Example
  const userId = newUserId()
  await t.rejects(suspendAfterFailures(userId, randomUUID()), /^USER_NOT_FOUND: /)
  await service.append(userId, [userCreated()])
  t.equal(await suspendAfterFailures(userId, randomUUID()), 'not needed')

  const lockedUntil = '2099-01-01T00:00:00Z'
  await service.append(userId, [
    { eventType: 'AccountLocked', eventData: { reason: 'guessing', loginAttempts: 5, lockedUntil } }
  ])
  const results = await Promise.all(Array.from({ length: 10 }, () => suspendAfterFailures(userId, randomUUID())))
  t.strictSame([...results].sort(), [...Array(9).fill('not needed'), 'suspended'], 'of many at once one does it')
  const { state, version } = (await service.get(`/users/${userId}/state`)).data
  t.match({ state, version }, { state: { status: 'suspended' }, version: 3 })
})
