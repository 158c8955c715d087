/** The largest event and the largest body, and one byte more. */
import { Readable } from 'node:stream'
import t from 'tap'
import { newUserId, userCreated, userUpdated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { testService } from '../support/service.js'

const { ask, append, get } = await testService(t)

const KiB = 1024
const bytesOf = (...values: object[]): number =>
  values.reduce((sum, value) => sum + Buffer.byteLength(JSON.stringify(value)), 0)

/** UserUpdated whose eventData and metadata are `bytes` long together. */
function eventOf(bytes: number, letter = 'x') {
  const data = (text: string) => ({ attributes: { text } })
  const metadata = { correlationId: 'c' }
  const room = bytes - bytesOf(data(''), metadata)
  return { eventType: 'UserUpdated', eventData: data(letter.repeat(room / Buffer.byteLength(letter))), metadata }
}

t.test('eventData and metadata of 64 KiB together are kept, one byte more is refused', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const largest = eventOf(64 * KiB)
  t.equal(verdict(await append(userId, [largest])), '201')
  t.strictSame((await get(`/users/${userId}/events/2`)).data.eventData, largest.eventData)
  const answer = await append(userId, [userUpdated(), eventOf(64 * KiB + 1)])
  refused(t, answer, '413 EVENT_TOO_LARGE', { pointer: '/events/1', bytes: 64 * KiB + 1, bytesMax: 64 * KiB })
  t.equal((await get(`/users/${userId}/state`)).data.version, 2)
})

t.test('bytes are counted, not characters', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const event = eventOf(64 * KiB + 2, 'ü')
  t.ok(JSON.stringify(event.eventData).length < 64 * KiB)
  refused(t, await append(userId, [event]), '413 EVENT_TOO_LARGE')
})

t.test('a body of 1 MiB is taken, one byte more is refused, also when its length is not announced', async (t) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  const body = JSON.stringify({ events: Array.from({ length: 15 }, () => eventOf(64 * KiB)) })
  const padded = (bytes: number): string => body + ' '.repeat(bytes - body.length)
  const send = (payload: string | Readable) =>
    ask({
      method: 'POST',
      url: `/users/${userId}/events`,
      headers: { 'content-type': 'application/json' },
      payload
    })
  t.equal(verdict(await send(padded(KiB * KiB))), '201')
  refused(t, await send(padded(KiB * KiB + 1)), '413 BODY_TOO_LARGE')
  refused(t, await send(Readable.from([padded(KiB * KiB), ' '])), '413 BODY_TOO_LARGE')
  t.equal((await get(`/users/${userId}/state`)).data.version, 16)
})

t.test('a body that is nothing but wrong gets an answer that is short', async (t) => {
  const payload = `{"events":[${'0,'.repeat(500_000)}0]}`
  const answer = await ask({
    method: 'POST',
    url: `/users/${newUserId()}/events`,
    headers: { 'content-type': 'application/json' },
    payload
  })
  refused(t, answer, '400 VALIDATION_FAILED', { pointer: '/events' })
  t.ok(answer.body.length < 10_000)
})
