/** JSON that could not be kept unchanged is refused, and then nothing is stored; what can be kept comes back equal. */
import t, { type Test } from 'tap'
import { newUserId, userCreated } from '../support/events.js'
import { refused, verdict } from '../support/problem.js'
import { type Answer, testService } from '../support/service.js'

const { ask, append, get, database } = await testService(t)

const post = (userId: string, payload: string | Buffer, headers: Record<string, string> = {}): Promise<Answer> =>
  ask({
    method: 'POST',
    url: `/users/${userId}/events`,
    headers: { 'content-type': 'application/json', ...headers },
    payload
  })

/** A request whose event has `attributes` and, if given, `metadata`: both as JSON text. */
const bodyWith = (attributes: string, metadata?: string): string =>
  `{"events":[{"eventType":"UserCreated","eventData":{"username":"ada","email":"a@b","attributes":${attributes}}` +
  `${metadata === undefined ? '' : `,"metadata":${metadata}`}}]}`

const IN_ATTRIBUTES = '/events/0/eventData/attributes'
const IN_METADATA = '/events/0/metadata'

async function storedEvents(): Promise<number> {
  const [row] = await database.run<{ n: number }>('SELECT count(*)::integer AS n FROM user_events')
  return row!.n
}

/** Sends each value as attributes and as metadata: all are refused as UNSAFE_JSON, at the pointer, and none is stored. */
async function refusesEach(t: Test, rows: [json: string, pointer: string][]): Promise<void> {
  const before = await storedEvents()
  for (const [json, pointer] of rows) {
    refused(t, await post(newUserId(), bodyWith(json)), '422 UNSAFE_JSON', { pointer: `${IN_ATTRIBUTES}${pointer}` })
    refused(t, await post(newUserId(), bodyWith('{}', json)), '422 UNSAFE_JSON', {
      pointer: `${IN_METADATA}${pointer}`
    })
  }
  t.equal(await storedEvents(), before, 'nothing is stored')
}

t.test('NUL, in a value and in a key', (t) =>
  refusesEach(t, [
    [String.raw`{"a":"x\u0000y"}`, '/a'],
    [String.raw`{"a":["ok","\u0000"]}`, '/a/1'],
    [String.raw`{"a":{"b\u0000":1}}`, '/a/b\u0000']
  ])
)

t.test('lone surrogates, in a value and in a key', (t) =>
  refusesEach(t, [
    [String.raw`{"a":"\ud800"}`, '/a'],
    [String.raw`{"a":"\udc00\ud800"}`, '/a'],
    [String.raw`{"a":"\ud83d x"}`, '/a'],
    [String.raw`{"a":{"\udfff":1}}`, '/a/\udfff']
  ])
)

t.test('numbers that a 64-bit float would change', (t) =>
  refusesEach(
    t,
    [
      '9007199254740993',
      '-9007199254740993',
      '1e400',
      '-1e400',
      '1e-400',
      '0.1000000000000000055511151231257827',
      '1.7976931348623159e308',
      '123456789012345678901234567890',
      '0.30000000000000001'
    ].map((number): [string, string] => [`{"a":[0,${number}]}`, '/a/1'])
  )
)

t.test('keys that reach prototypes, also when escaped', (t) =>
  refusesEach(t, [
    ['{"__proto__":{"admin":true}}', '/__proto__'],
    [String.raw`{"\u005f_proto__":1}`, '/__proto__'],
    ['{"a":{"constructor":1}}', '/a/constructor'],
    [String.raw`{"a":{"\u0063onstructor":{"prototype":1}}}`, '/a/constructor'],
    ['{"a":[{"prototype":null}]}', '/a/0/prototype']
  ])
)

t.test('a key that is given twice, also when one of the two is escaped', (t) =>
  refusesEach(t, [
    ['{"a":1,"b":2,"a":1}', '/a'],
    ['{"x":[{},{"a/b":1,"a/b":2}]}', '/x/1/a~1b'],
    [String.raw`{"a":1,"\u0061":2}`, '/a'],
    [`{"a":1,"a"${' '.repeat(100)}:2}`, '/a'],
    ['{"a":{"a":{"b":1,"c":"\\"b\\":","b":2}}}', '/a/a/b']
  ])
)

t.test('a key that is given twice outside of the data', async (t) => {
  const event = JSON.stringify(userCreated())
  refused(t, await post(newUserId(), `{"events":[],"events":[${event}]}`), '422 UNSAFE_JSON', { pointer: '/events' })
  const twice = event.replace('{', '{"eventType":"UserUpdated",')
  refused(t, await post(newUserId(), `{"events":[${twice}]}`), '422 UNSAFE_JSON', { pointer: '/events/0/eventType' })
})

const nested = (levels: number): string => `${'{"d":'.repeat(levels - 1)}{}${'}'.repeat(levels - 1)}`
const nestedLists = (levels: number): string => `{"d":${'['.repeat(levels - 1)}${']'.repeat(levels - 1)}}`

t.test('nesting of 32 levels is kept in eventData and in metadata, 33 are refused', async (t) => {
  for (const make of [nested, nestedLists]) {
    // eventData itself is level 1 and attributes level 2.
    const userId = newUserId()
    t.equal((await post(userId, bodyWith(make(31), make(32)))).statusCode, 201)
    const { data } = await get(`/users/${userId}/events/1`)
    t.strictSame(data.eventData.attributes, JSON.parse(make(31)))
    t.strictSame(data.metadata, JSON.parse(make(32)))
    const before = await storedEvents()
    const deepData = await post(newUserId(), bodyWith(make(32)))
    refused(t, deepData, '422 UNSAFE_JSON')
    t.match(deepData.data.pointer, new RegExp(`^${IN_ATTRIBUTES}/d/`))
    const deepMetadata = await post(newUserId(), bodyWith('{}', make(33)))
    refused(t, deepMetadata, '422 UNSAFE_JSON')
    t.match(deepMetadata.data.pointer, new RegExp(`^${IN_METADATA}/d/`))
    t.equal(await storedEvents(), before)
  }
})

t.test('nesting without bounds is refused before it is walked', async (t) => {
  refused(t, await post(newUserId(), bodyWith(nested(10_000))), '422 UNSAFE_JSON')
  refused(t, await post(newUserId(), '['.repeat(500_000)), '400 MALFORMED_JSON')
})

t.test('numbers that survive come back equal', async (t) => {
  const numbers = [
    '1e2',
    '1.10',
    '0.1',
    '-0',
    '0.0',
    '0e7',
    '5e-324',
    '-1.7976931348623157e308',
    '1.7976931348623157e308',
    '9007199254740992',
    '123456789012345680000',
    '0.30000000000000004',
    '1E+2',
    '1.000000000000000000000000000000'
  ]
  const userId = newUserId()
  const json = `{"numbers":[${numbers.join(',')}]}`
  t.equal(verdict(await post(userId, bodyWith(json, json))), '201')
  const { data } = await get(`/users/${userId}/events/1`)
  const sent = JSON.parse(json) as { numbers: number[] }
  // PostgreSQL has no negative zero; as numbers the two are equal.
  t.strictSame(
    data.metadata.numbers.map((n: number) => n + 0),
    sent.numbers.map((n) => n + 0)
  )
  t.strictSame(data.eventData.attributes, data.metadata)
  t.strictSame((await get(`/users/${userId}/state`)).data.state.attributes, data.metadata)
  const again = await post(userId, bodyWith(json, json), { 'idempotency-key': 'other' })
  refused(t, again, '422 USER_ALREADY_CREATED')
})

t.test('text of every kind comes back equal', async (t) => {
  const texts = [
    '',
    ' ',
    '\u0001\u001f\u007f',
    '\u2028\u2029',
    '\ufeff',
    '\ufffe\uffff',
    '🙂👨‍👩‍👧',
    'e\u0301',
    '\\u0000',
    '"\\/\b\f\n\r\t',
    '<script>',
    "'; --"
  ]
  const attributes = Object.fromEntries(texts.map((text, i) => [`${text}${i}`, text]))
  const userId = newUserId()
  const answer = await append(userId, [{ ...userCreated('ada', { attributes }), metadata: attributes }])
  t.equal(answer.statusCode, 201)
  const { data } = await get(`/users/${userId}/events/1`)
  t.strictSame(data.eventData.attributes, attributes)
  t.strictSame(data.metadata, attributes)
  t.strictSame((await get(`/users/${userId}/state`)).data.state.attributes, attributes)
})

t.test('a body that is not JSON in UTF-8', async (t) => {
  const before = await storedEvents()
  const good = Buffer.from(bodyWith('{}'))
  const bodies: [what: string, body: string | Buffer][] = [
    ['invalid UTF-8', Buffer.concat([good.subarray(0, 60), Buffer.from([0xff]), good.subarray(60)])],
    ['a surrogate in UTF-8', Buffer.from('{"a":"\xed\xa0\x80"}', 'latin1')],
    ['an overlong encoding', Buffer.from('{"a":"\xc0\x80"}', 'latin1')],
    ['a cut-off character', Buffer.from('{"a":"\xe2\x82', 'latin1')],
    ['UTF-16', Buffer.from(bodyWith('{}'), 'utf16le')],
    ['a byte order mark', `\ufeff${bodyWith('{}')}`],
    ['cut off', good.subarray(0, -1)],
    ['cut off in a string', '{"events":[{"eventType":"User'],
    ['two values', `${bodyWith('{}')}{}`],
    ['a trailing comma', '{"events":[],}'],
    ['a comment', '{/**/}'],
    ['single quotes', "{'events':[]}"],
    ['NaN', bodyWith('{"a":NaN}')],
    ['a leading zero', bodyWith('{"a":007}')],
    ['a raw control character', bodyWith('{"a":"\n"}')],
    ['white space only', '  \n'],
    ['a form', 'events=none']
  ]
  for (const [what, body] of bodies) {
    t.comment(what)
    refused(t, await post(newUserId(), body), '400 MALFORMED_JSON')
  }
  t.equal(await storedEvents(), before)
})

t.test('a body that is JSON but not an object, or none at all', async (t) => {
  for (const body of ['[]', '[{}]', 'null', '1', '"events"', 'true', '']) {
    refused(t, await post(newUserId(), body), '400 VALIDATION_FAILED', { in: 'body', pointer: '' })
  }
  refused(t, await post(newUserId(), '9007199254740993'), '422 UNSAFE_JSON', { pointer: '' })
  const without = await ask({ method: 'POST', url: `/users/${newUserId()}/events` })
  refused(t, without, '400 VALIDATION_FAILED', { in: 'body', pointer: '' })
})

t.test('keys that reach prototypes are no way round the contract of the body itself', async (t) => {
  const event = JSON.stringify(userCreated())
  for (const body of [
    `{"__proto__":{},"events":[${event}]}`,
    `{"events":[{"__proto__":{},${event.slice(1)}]}`,
    `{"constructor":{},"events":[${event}]}`
  ]) {
    refused(t, await post(newUserId(), body), '400 VALIDATION_FAILED')
  }
})
