import { isIP } from 'node:net'
import { Type } from '@sinclair/typebox'
import { Value } from '@sinclair/typebox/value'
import fc from 'fast-check'
import t from 'tap'
import { instantOf, parseInstant, registerFormats } from '../../src/domain/formats.js'

t.test('a date-time is read as UTC with milliseconds', async (t) => {
  for (const [text, instant] of [
    ['2026-11-22T08:00:00Z', '2026-11-22T08:00:00.000Z'],
    ['2026-11-22t08:00:00.5z', '2026-11-22T08:00:00.500Z'],
    ['2026-11-22 08:00:00.25Z', '2026-11-22T08:00:00.250Z'],
    ['2026-11-22T08:00:00+05:30', '2026-11-22T02:30:00.000Z'],
    ['2026-01-01T00:00:00+23:59', '2025-12-31T00:01:00.000Z'],
    ['2026-12-31T23:59:59-00:01', '2027-01-01T00:00:59.000Z'],
    ['2026-11-22T08:00:00-00:00', '2026-11-22T08:00:00.000Z'],
    ['2024-02-29T23:59:59Z', '2024-02-29T23:59:59.000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000Z'],
    ['0001-01-01T00:00:00Z', '0001-01-01T00:00:00.000Z'],
    ['0004-02-29T12:00:00Z', '0004-02-29T12:00:00.000Z'],
    ['9999-12-31T23:59:59.999Z', '9999-12-31T23:59:59.999Z']
  ] as const) {
    t.equal(parseInstant(text), instant, text)
  }
})

t.test('digits finer than a millisecond are cut off, not rounded', async (t) => {
  for (const [fraction, ms] of [
    ['.9999', '999'],
    ['.123456789', '123'],
    ['.0009', '000'],
    ['.1', '100'],
    ['.999999999', '999']
  ] as const) {
    t.equal(parseInstant(`2026-11-22T08:00:59${fraction}Z`), `2026-11-22T08:00:59.${ms}Z`, fraction)
    t.equal(parseInstant(`1969-12-31T23:59:59${fraction}Z`), `1969-12-31T23:59:59.${ms}Z`, `${fraction} before 1970`)
  }
})

t.test('what is no moment is null', async (t) => {
  for (const text of [
    '',
    'now',
    '2026-11-22',
    '2026-11-22T08:00Z',
    '2026-11-22T08:00:00',
    '2026-11-22T08:00:00.Z',
    '2026-11-22T08:00:00.1234567890Z',
    '2026-11-22T08:00:00+0530',
    '2026-11-22T08:00:00+24:00',
    '2026-11-22T08:00:00+05:60',
    '2026-11-22T24:00:00Z',
    '2026-11-22T23:60:00Z',
    '2026-06-30T23:59:60Z',
    '2026-13-01T00:00:00Z',
    '2026-00-01T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '2026-02-30T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '+002026-11-22T08:00:00Z',
    '-000001-11-22T08:00:00Z',
    ' 2026-11-22T08:00:00Z',
    '2026-11-22T08:00:00Z\n',
    '２026-11-22T08:00:00Z'
  ]) {
    t.equal(parseInstant(text), null, JSON.stringify(text))
  }
})

const two = (value: number) => String(value).padStart(2, '0')
const numbers = (max: number) => fc.integer({ min: 0, max })

t.test('whatever it reads is the moment that arithmetic gives, and every day of the calendar is read', async (t) => {
  const parts = fc.tuple(
    fc.integer({ min: 1, max: 9999 }),
    numbers(13),
    numbers(32),
    numbers(24),
    numbers(60),
    numbers(60),
    numbers(999_999),
    fc.integer({ min: -1440, max: 1440 })
  )
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(parts, ([year, month, day, hour, minute, second, micros, offset]) => {
        const zone = `${offset < 0 ? '-' : '+'}${two(Math.trunc(Math.abs(offset) / 60))}:${two(Math.abs(offset) % 60)}`
        const date = `${String(year).padStart(4, '0')}-${two(month)}-${two(day)}`
        const text = `${date}T${two(hour)}:${two(minute)}:${two(second)}.${String(micros).padStart(6, '0')}${zone}`
        const leap = year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0)
        const days = [31, leap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31][month - 1] ?? 0
        const real = day >= 1 && day <= days && hour < 24 && minute < 60 && second < 60 && Math.abs(offset) < 1440
        const moment = new Date(0)
        moment.setUTCFullYear(year, month - 1, day)
        moment.setUTCHours(hour, minute - offset, second, Math.floor(micros / 1000))
        const inRange = moment.getUTCFullYear() >= 1 && moment.getUTCFullYear() <= 9999
        return parseInstant(text) === (real && inRange ? moment.toISOString() : null)
      }),
      { numRuns: 5000 }
    )
  )
})

t.test('what it gives it reads back unchanged', async (t) => {
  const min = new Date('0001-01-01T00:00:00.000Z')
  const max = new Date('9999-12-31T23:59:59.999Z')
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(
        fc.date({ min, max, noInvalidDate: true }),
        (date) => parseInstant(date.toISOString()) === date.toISOString()
      )
    )
  )
})

t.test('schemas can name the formats date-time, ip, ipv4 and ipv6', async (t) => {
  registerFormats()
  registerFormats()
  const is = (format: string, text: string) => Value.Check(Type.String({ format }), text)
  t.ok(is('date-time', '2026-11-22T08:00:00Z'))
  t.notOk(is('date-time', '2026-02-30T08:00:00Z'))
  for (const ip of ['203.0.113.7', '::1', '2001:db8::ff00:42:8329', '::ffff:1.2.3.4']) t.ok(is('ip', ip), ip)
  for (const family of [4, 6]) {
    const texts = [
      '203.0.113.7',
      '::1',
      '2001:db8::ff00:42:8329',
      '::ffff:1.2.3.4',
      '1.2.3.256',
      '1.2.3',
      'fe80::1%eth0',
      ''
    ]
    for (const ip of texts) t.equal(is(`ipv${family}`, ip), isIP(ip) === family, `${ip} as ipv${family}`)
  }
  for (const ip of ['', '1.2.3', '1.2.3.256', '2001:db8', '1.2.3.4/8', 'localhost']) t.notOk(is('ip', ip), ip)
})

t.test('a number of milliseconds is written as Date writes it', async (t) => {
  const day = 86_400_000
  for (const ms of [
    0,
    -1,
    1,
    day - 1,
    day,
    day + 1,
    -day,
    Date.UTC(2024, 1, 29, 23, 59, 59, 999),
    Date.UTC(9999, 11, 31)
  ]) {
    t.equal(instantOf(ms), new Date(ms).toISOString())
  }
  fc.assert(
    fc.property(fc.date({ noInvalidDate: true }), (date) => instantOf(date.getTime()) === date.toISOString()),
    { numRuns: 2000 }
  )
})
