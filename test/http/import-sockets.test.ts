/** What only a real socket can show of an import: bodies that are slow, silent, broken off, or refused in their middle. */
import { once } from 'node:events'
import { type ClientRequest, type IncomingMessage, request } from 'node:http'
import type { Socket } from 'node:net'
import { json } from 'node:stream/consumers'
import postgres from 'postgres'
import t, { type Test } from 'tap'
import { IMPORTS_MAX } from '../../src/services/import.js'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { importedEvent, textOf } from '../support/import.js'
import { testService } from '../support/service.js'
import { until } from '../support/wait.js'

const REQUEST_TIMEOUT_MS = 1000
const SILENCE_MS = 700

const { app, database, get } = await testService(t, {
  env: { REQUEST_TIMEOUT_MS: String(REQUEST_TIMEOUT_MS) },
  silenceMs: SILENCE_MS
})
await app.listen({ host: '127.0.0.1', port: 0 })
const { port } = app.server.address() as { port: number }

type Upload = {
  outgoing: ClientRequest
  answer: Promise<{ status: number; headers: object; data: Record<string, any> }>
}

/** An import whose body the test writes. */
function upload(t: Test, to = port): Upload {
  const outgoing = request({
    host: '127.0.0.1',
    port: to,
    path: '/events/import',
    method: 'POST',
    headers: { 'content-type': 'application/x-ndjson' }
  })
  t.teardown(() => outgoing.destroy())
  const answer = (async () => {
    const [response] = (await once(outgoing, 'response')) as [IncomingMessage]
    return { status: response.statusCode!, headers: response.headers, data: (await json(response)) as Upload['answer'] }
  })() as Upload['answer']
  answer.catch(() => {})
  outgoing.on('error', () => {})
  return { outgoing, answer }
}

const life = (userId: string, count: number): string[] =>
  Array.from({ length: count }, (_, i) =>
    textOf([importedEvent(userId, i + 1, i === 0 ? userCreated() : userUpdated({ fullName: `Name ${i}` }))])
  )

/** Resolves when the connection is closed, in whatever way. */
const closing = (outgoing: ClientRequest): Promise<void> => new Promise((resolve) => outgoing.once('close', resolve))

const versionOf = async (userId: string): Promise<number> => (await get(`/users/${userId}/events`)).data.version ?? 0

t.test('a body that comes slowly, but comes, is not cut off by the deadline of requests', async (t) => {
  const userId = newUserId()
  const lines = life(userId, 8)
  const { outgoing, answer } = upload(t)
  const startedAt = performance.now()
  for (const [i, line] of lines.entries()) {
    outgoing.write(line)
    await until(() => performance.now() - startedAt > (i + 1) * 350)
  }
  outgoing.end()
  const { status, data } = await answer
  t.equal(status, 200)
  t.hasStrict(data, { lines: 8, imported: 8 })
  t.ok(performance.now() - startedAt > 2 * REQUEST_TIMEOUT_MS)
  t.equal(await versionOf(userId), 8)
})

t.test('a body that falls silent is cut off, and the whole lines that came are stored', async (t) => {
  const userId = newUserId()
  const lines = life(userId, 3)
  const { outgoing, answer } = upload(t)
  outgoing.write(lines[0]! + lines[1]! + lines[2]!.slice(0, -5))
  const closed = closing(outgoing)
  const { status, headers, data } = await answer
  t.hasStrict({ status, code: data.code }, { status: 408, code: 'IMPORT_INTERRUPTED' })
  t.hasStrict(data, { imported: 2, duplicates: 0 })
  t.hasStrict(headers, { connection: 'close' })
  await closed
  t.equal(await versionOf(userId), 2)
})

t.test('when the client breaks off, the whole lines that came are stored, and a repetition goes on', async (t) => {
  const userId = newUserId()
  const lines = life(userId, 3)
  const { outgoing } = upload(t)
  outgoing.write(lines[0]! + lines[1]! + lines[2]!.slice(0, -1))
  const [socket] = (await once(outgoing, 'socket')) as [Socket]
  await until(() => !socket.connecting && socket.writableLength === 0 && socket.bytesWritten > lines.join('').length)
  outgoing.destroy()
  await until(async () => (await versionOf(userId)) === 2)
  const again = upload(t)
  again.outgoing.end(lines.join(''))
  t.hasStrict((await again.answer).data, { imported: 1, duplicates: 2 })
  t.equal(await versionOf(userId), 3)
})

t.test(
  'lines that come before the import is noted in the audit are stored too, though the client leaves then',
  async (t) => {
    const LOCK = 1
    await database.run(`
    CREATE FUNCTION wait_for_test() RETURNS trigger LANGUAGE plpgsql AS
      $$ BEGIN PERFORM pg_advisory_xact_lock(${LOCK}); RETURN new; END $$;
    CREATE TRIGGER wait_for_test BEFORE INSERT ON admin_audit FOR EACH ROW EXECUTE FUNCTION wait_for_test()`)
    t.teardown(() => database.run('DROP TRIGGER wait_for_test ON admin_audit'))
    const holder = postgres(database.url, { max: 1, onnotice: () => {} })
    t.teardown(() => holder.end())
    const count = async (of: string) =>
      (await database.run<{ n: number }>(`SELECT count(*)::integer AS n FROM ${of}`))[0]!.n
    await holder`SELECT pg_advisory_lock(${LOCK})`

    const userId = newUserId()
    const lines = life(userId, 3)
    const { outgoing } = upload(t)
    outgoing.write(lines[0]! + lines[1]! + lines[2]!.slice(0, -1))
    await until(() => count(`pg_locks WHERE locktype = 'advisory' AND objid = ${LOCK} AND NOT granted`), {
      what: 'the note'
    })
    outgoing.destroy()
    const connections = () => new Promise((resolve) => app.server.getConnections((_err, open) => resolve(open)))
    await until(async () => (await connections()) === 0, { what: 'the end of the connection' })
    await holder`SELECT pg_advisory_unlock(${LOCK})`
    await until(async () => (await versionOf(userId)) === 2)
  }
)

t.test('a client that goes on sending after a bad line gets its answer, and is cut off in the end', async (t) => {
  const userId = newUserId()
  const { outgoing, answer } = upload(t)
  const closed = closing(outgoing)
  outgoing.write(`${life(userId, 1)}{}\n`)
  const sending = setInterval(() => outgoing.write('x'.repeat(100_000)), 20)
  t.teardown(() => clearInterval(sending))
  const { status, data } = await answer
  t.equal(status, 422)
  t.hasStrict(data, { code: 'IMPORT_LINE_INVALID', line: 2, imported: 1 })
  await closed
  t.equal(await versionOf(userId), 1)
})

t.test('so many imports run at once and no more, and who is refused harms nobody', async (t) => {
  // Those that run are silent while others are tried, however long that takes: here nobody is cut off for it.
  const patient = await testService(t)
  await patient.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = patient.app.server.address() as { port: number }
  const users = Array.from({ length: IMPORTS_MAX }, () => newUserId())
  let goOn = () => {}
  const word = new Promise<void>((resolve) => {
    goOn = resolve
  })
  /** An import that waits in its middle; one that is refused, since one that was tried came first, is sent again. */
  async function importOf(userId: string): Promise<number> {
    const [first, second] = life(userId, 2)
    for (;;) {
      const { outgoing, answer } = upload(t, port)
      outgoing.write(first)
      word.then(() => outgoing.end(second))
      const { status, data } = await answer
      if (status !== 503) return data.imported
    }
  }
  const running = users.map(importOf)
  const refused = await until(async () => {
    const { outgoing, answer } = upload(t, port)
    outgoing.end(life(newUserId(), 1).join(''))
    const { status, headers, data } = await answer
    return status === 503 ? { code: data.code, headers } : null
  })
  t.hasStrict(refused, { code: 'OVERLOADED', headers: { 'retry-after': '1' } })
  goOn()
  t.strictSame(
    await Promise.all(running),
    users.map(() => 2)
  )
  const next = upload(t, port)
  next.outgoing.end(life(newUserId(), 1).join(''))
  t.equal((await next.answer).status, 200)
})
