/** Importing into a store in which fields of users are unique: lines follow each other, and the first that clashes ends it. */
import { randomUUID } from 'node:crypto'
import t from 'tap'
import { IMPORT_BATCH_EVENTS } from '../../src/services/import-batch.js'
import { assertClaims, claimsIn } from '../support/claims.js'
import { newUserId, updates, userCreated, userDeleted, userUpdated } from '../support/events.js'
import { importedEvent, sendLines } from '../support/import.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const env = { UNIQUE_CLAIMS: 'username,email' }
const email = () => `${randomUUID()}@example.com`

t.test(
  'the first line that takes what is another user’s is told, all before it is stored and nothing after',
  async (t) => {
    const store = await testService(t, { env })
    const taken = `${randomUUID()}@Example.com`
    await store.append(newUserId(), [userCreated('holder', { email: taken })])
    const [ada, bob, eve] = [newUserId(), newUserId(), newUserId()]
    const full = { metadata: { note: 'line\n"two"' }, occurredAt: '2019-05-05T05:05:05.005Z' }
    const lines = [
      importedEvent(ada, 1, userCreated('ada'), full),
      importedEvent(bob, 1, userCreated('bob')),
      importedEvent(ada, 2, userUpdated({ fullName: 'Ada' })),
      importedEvent(bob, 2, userUpdated({ email: taken.toLowerCase() }), full),
      importedEvent(eve, 1, userCreated('eve')),
      importedEvent(ada, 3, userUpdated({ username: 'eve' }))
    ]
    const answer = await sendLines(store, lines)
    refused(t, answer, '422 IMPORT_LINE_INVALID', {
      line: 4,
      lineCode: 'CLAIM_TAKEN',
      pointer: '/eventData/email',
      imported: 3,
      duplicates: 0,
      storedAfter: 0
    })
    t.notMatch(answer.body, /holder/)
    const [row] = await store.database.run<{ events: string }>('SELECT count(*) AS events FROM user_events')
    t.equal(Number(row!.events), 4)
    t.equal(await assertClaims(t, store), 6)

    const mended = lines.with(3, importedEvent(bob, 2, userUpdated({ email: email() })))
    refused(t, await sendLines(store, mended), '422 IMPORT_LINE_INVALID', {
      line: 6,
      lineCode: 'CLAIM_TAKEN',
      pointer: '/eventData/username',
      imported: 2,
      duplicates: 3
    })
    t.equal(await assertClaims(t, store), 8)
    const stored = (await store.get(`/users/${ada}/events/1`)).data
    t.hasStrict(stored, full)
  }
)

t.test('a clash in the first line leaves nothing', async (t) => {
  const store = await testService(t, { env })
  await store.append(newUserId(), [userCreated('ada')])
  const before = await claimsIn(store.database)
  const lines = [importedEvent(newUserId(), 1, userCreated('ada')), importedEvent(newUserId(), 1, userCreated('bob'))]
  refused(t, await sendLines(store, lines), '422 IMPORT_LINE_INVALID', {
    line: 1,
    lineCode: 'CLAIM_TAKEN',
    imported: 0
  })
  t.strictSame(await claimsIn(store.database), before)
})

t.test('what a line lets go a later one takes, and not an earlier one', async (t) => {
  const store = await testService(t, { env })
  // Whichever of them is written first, bob takes what ada gives away.
  const [bob, ada] = [newUserId(), newUserId()].sort() as [string, string]
  const eve = newUserId()
  const renamed = importedEvent(ada, 2, userUpdated({ username: 'countess' }))
  const bobAsAda = importedEvent(bob, 1, userCreated('ADA', { email: email() }))
  const life = [importedEvent(ada, 1, userCreated('ada')), renamed, bobAsAda, importedEvent(bob, 2, userDeleted())]
  const eveAsAda = importedEvent(eve, 1, userCreated('ada', { email: email() }))
  refused(t, await sendLines(store, [life[0]!, bobAsAda]), '422 IMPORT_LINE_INVALID', { line: 2, imported: 1 })
  refused(t, await sendLines(store, [...life.slice(0, 3), eveAsAda]), '422 IMPORT_LINE_INVALID', {
    line: 4,
    imported: 2,
    duplicates: 1
  })
  const whole = await sendLines(store, [...life, eveAsAda])
  t.hasStrict(whole.data, { lines: 5, imported: 2, duplicates: 3 })
  t.equal(await assertClaims(t, store), 4)
  t.hasStrict((await sendLines(store, [...life, eveAsAda])).data, { imported: 0, duplicates: 5 }, 'and all of it again')
  t.equal(verdict(await store.append(newUserId(), [userCreated('ada', { email: email() })])), '409 CLAIM_TAKEN')
})

t.test('of two bad lines the first is told, whatever is wrong with it', async (t) => {
  const store = await testService(t, { env })
  await store.append(newUserId(), [userCreated('ada')])
  const clash = () => importedEvent(newUserId(), 1, userCreated('ada', { email: email() }))
  const gap = () => importedEvent(newUserId(), 2, userUpdated())
  const good = () => importedEvent(newUserId(), 1, userCreated(randomUUID()))
  for (const [lines, line, lineCode] of [
    [[good(), clash(), gap()], 2, 'CLAIM_TAKEN'],
    [[good(), gap(), clash()], 2, 'VERSION_CONFLICT'],
    [[good(), good(), clash(), clash()], 3, 'CLAIM_TAKEN']
  ] as const)
    refused(t, await sendLines(store, lines), '422 IMPORT_LINE_INVALID', { line, lineCode, imported: line - 1 })
  t.equal(await assertClaims(t, store), 2 + 2 * 4)
})

for (const buckets of ['1', '3']) {
  t.test(`a clash in a later batch, with EVENT_BUCKETS=${buckets}`, async (t) => {
    const store = await testService(t, { env: { ...env, EVENT_BUCKETS: buckets } })
    const lines = Array.from({ length: IMPORT_BATCH_EVENTS + 50 }, (_, i) =>
      importedEvent(newUserId(), 1, userCreated(`user${i}`))
    )
    lines[IMPORT_BATCH_EVENTS + 20] = importedEvent(newUserId(), 1, userCreated('user7', { email: email() }))
    const answer = await sendLines(store, lines)
    refused(t, answer, '422 IMPORT_LINE_INVALID', { line: IMPORT_BATCH_EVENTS + 21, lineCode: 'CLAIM_TAKEN' })
    t.equal(answer.data.imported, IMPORT_BATCH_EVENTS + 20 + answer.data.storedAfter)
    t.equal((await claimsIn(store.database)).length, 2 * answer.data.imported)
    const rest = await sendLines(store, lines.toSpliced(IMPORT_BATCH_EVENTS + 20, 1))
    t.hasStrict(rest.data, { imported: lines.length - 1 - answer.data.imported, duplicates: answer.data.imported })
  })
}

t.test('what a line gives to a user of another tenant is refused as for one who is nowhere', async (t) => {
  const store = await testService(t, { env })
  const [own, other] = [{ 'x-tenant-id': randomUUID() }, { 'x-tenant-id': randomUUID() }]
  const [stranger, missing] = [newUserId(), newUserId()]
  await store.append(newUserId(), [userCreated('ada')], { headers: own })
  await store.append(stranger, [userCreated('ada'), ...updates(6)], { headers: other })
  for (const username of ['ada', 'free']) {
    const reasons = []
    for (const userId of [stranger, missing]) {
      const answer = await sendLines(store, [importedEvent(userId, 4, userUpdated({ username }))], own)
      refused(t, answer, '422 IMPORT_LINE_INVALID', {
        lineCode: username === 'ada' ? 'CLAIM_TAKEN' : 'VERSION_CONFLICT'
      })
      reasons.push(answer.body.replaceAll(userId, '<user>'))
    }
    t.equal(reasons[0], reasons[1])
  }
  await assertClaims(t, store)
})
