import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import t from 'tap'
import { DomainError } from '../../src/domain/errors.js'
import { escapePointer, findHazard, JSON_DEPTH_MAX, parseJson } from '../../src/domain/json.js'

/** The value that parseJson gives, or the code and pointer of its refusal. */
function outcome(text: string): { value: unknown } | { code: string; pointer: unknown } {
  try {
    return { value: parseJson(text) }
  } catch (err) {
    if (err instanceof DomainError) return { code: err.code, pointer: err.facts.pointer }
    throw err
  }
}

const unsafeAt = (pointer: string) => ({ code: 'UNSAFE_JSON', pointer })
const malformed = { code: 'MALFORMED_JSON', pointer: undefined }

t.test('text made from a value is returned as JSON.parse returns it', async (t) => {
  const text = fc
    .tuple(fc.jsonValue(), fc.constantFrom(0, 1, 2, '\t'))
    .map(([value, indent]) => JSON.stringify(value, null, indent))
  t.doesNotThrow(() =>
    fc.assert(fc.property(text, (text) => isDeepStrictEqual(outcome(text), { value: JSON.parse(text) })))
  )
})

type Doc = string | { open: '{'; members: Member[] } | { open: '['; items: Doc[] }
type Member = { key: string; written: string; gap: string; child: Doc }

/** A key as JSON text: every character as itself, or every one as \\uXXXX. */
const written = (key: string, escaped: boolean): string =>
  escaped
    ? `"${[...key].map((char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join('')}"`
    : JSON.stringify(key)

const { doc } = fc.letrec<{ doc: Doc; object: Doc; array: Doc }>((tie) => ({
  doc: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom('1', '"a"', '"{\\"a\\":"', 'null', '-0.5e3'),
    tie('object'),
    tie('array')
  ),
  object: fc
    .array(
      fc.tuple(
        fc.constantFrom('a', 'b', '', '~', '/', 'a/b~c', '"', '\\', ':', '{', 'é', '__proto__', '0'),
        fc.boolean(),
        fc.constantFrom('', ' ', '\n\t', ' '.repeat(100)),
        tie('doc')
      ),
      { maxLength: 4 }
    )
    .map((members) => ({
      open: '{',
      members: members.map(([key, escaped, gap, child]) => ({ key, written: written(key, escaped), gap, child }))
    })),
  array: fc.array(tie('doc'), { maxLength: 3 }).map((items) => ({ open: '[', items }))
}))

function textOf(doc: Doc): string {
  if (typeof doc === 'string') return doc
  if (doc.open === '[') return `[${doc.items.map(textOf).join(' , ')}]`
  return `{${doc.members.map(({ written, gap, child }) => `${gap}${written}${gap}:${gap}${textOf(child)}`).join(',')}}`
}

/** Pointer of the first key in the text that its object has already; null if there is none. */
function firstRepeated(doc: Doc, pointer = ''): string | null {
  if (typeof doc === 'string') return null
  const children: [string, Doc][] =
    doc.open === '['
      ? doc.items.map((item, i) => [`${i}`, item])
      : doc.members.map(({ key, child }) => [key.replaceAll('~', '~0').replaceAll('/', '~1'), child])
  const seen = new Set<string>()
  for (const [token, child] of children) {
    const at = `${pointer}/${token}`
    if (seen.has(token)) return at
    seen.add(token)
    const inside = firstRepeated(child, at)
    if (inside !== null) return inside
  }
  return null
}

t.test('a key that is given twice, anywhere and however it is written, is refused with its pointer', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(doc, (doc) => {
        const text = textOf(doc)
        const repeated = firstRepeated(doc)
        const expected = repeated === null ? { value: JSON.parse(text) } : unsafeAt(repeated)
        return isDeepStrictEqual(outcome(text), expected)
      }),
      { numRuns: 1000 }
    )
  )
  for (const [text, pointer] of [
    ['{"a":1,"a":1}', '/a'],
    ['{"a":1,"\\u0061":2}', '/a'],
    ['[{"x":{"~/":{},"~/":0}}]', '/0/x/~0~1'],
    ['{"\\\\":1,"b":2,"\\\\":3}', '/\\'],
    [`{"a"${' '.repeat(1000)}:1,"a":2}`, '/a']
  ] as const) {
    t.strictSame(outcome(text), unsafeAt(pointer), text.slice(0, 40))
  }
})

/** A numeral as coefficient and power of ten, exactly. */
function exact(numeral: string): [coefficient: bigint, exponent: number] {
  const [, sign, whole, fraction = '', exponent = '0'] = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(numeral)!
  const coefficient = BigInt(whole + fraction)
  return [sign ? -coefficient : coefficient, Number(exponent) - fraction.length]
}

/** Whether what a client reads back has the decimal value that it sent, by arithmetic without rounding. */
function readsBack(token: string): boolean {
  const value = JSON.parse(token) as number
  if (!Number.isFinite(value)) return false
  const [sent, sentExponent] = exact(token)
  const [kept, keptExponent] = exact(JSON.stringify(value))
  const least = Math.min(sentExponent, keptExponent)
  return sent * 10n ** BigInt(sentExponent - least) === kept * 10n ** BigInt(keptExponent - least)
}

const digits = (max: number) => fc.stringMatching(new RegExp(`^\\d{1,${max}}$`))
const numberToken = fc.oneof(
  fc
    .tuple(
      fc.constantFrom('', '-'),
      fc.oneof(
        fc.constant('0'),
        digits(22).map((text) => text.replace(/^0+(?=.)/, ''))
      ),
      fc.option(digits(25)),
      fc.option(fc.tuple(fc.constantFrom('e', 'E', 'e+', 'E-', 'e-'), fc.integer({ min: 0, max: 400 })))
    )
    .map(
      ([sign, whole, fraction, power]) =>
        `${sign}${whole}${fraction === null ? '' : `.${fraction}`}${power === null ? '' : power.join('')}`
    ),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  // Near the edge: doubles with 15 to 20 digits, padded with zeros that do not change them.
  fc
    .tuple(fc.double({ noNaN: true, noDefaultInfinity: true }), fc.integer({ min: 15, max: 20 }), fc.nat(20))
    .map(([value, precision, zeros]) => value.toExponential(precision).replace('e', `${'0'.repeat(zeros)}e`)),
  fc.bigInt({ min: 2n ** 52n, max: 2n ** 70n }).map(String)
)

t.test('a number is refused exactly when its decimal value is not the one that reads back', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(numberToken, (token) => {
        const expected = readsBack(token) ? { value: { n: [true, JSON.parse(token)] } } : unsafeAt('/n/1')
        return isDeepStrictEqual(outcome(`{"n":[true,${token}]}`), expected)
      }),
      { numRuns: 3000 }
    )
  )
  const kept = [
    '0',
    '-0',
    '0.1',
    '1.50',
    '1e21',
    '1E+2',
    '9007199254740992',
    '1e23',
    '5e-324',
    '0e999',
    '0.000',
    '100000000000000000000000'
  ]
  const refused = [
    '9007199254740993',
    '1e309',
    '-1e309',
    '1e-400',
    '0.1000000000000000055',
    '12345678901234567890',
    '4.9e-324'
  ]
  for (const token of kept) t.strictSame(outcome(token), { value: JSON.parse(token) }, token)
  for (const token of refused) t.strictSame(outcome(token), unsafeAt(''), token)
})

t.test('what stands inside strings is text, however much it looks like JSON', async (t) => {
  for (const value of [
    '"',
    '\\',
    '\\"',
    '"}{][,:',
    '{"a":1,"a":2}',
    '12345678901234567890',
    '\u0000\ud800',
    { '\\": 1, "': ['\\\\"', '"\\'], '{"a"': ':[' },
    '['.repeat(1000)
  ]) {
    const text = JSON.stringify(value)
    t.strictSame(outcome(text), { value }, text.slice(0, 40))
  }
  t.strictSame(outcome('{"a":"\\u0022,\\u0022a\\u0022:1","b":"\\u005c"}'), { value: { a: '","a":1', b: '\\' } })
})

t.test('text that is not JSON is MALFORMED_JSON, whatever else is wrong with it', async (t) => {
  for (const text of [
    '',
    ' ',
    'nope',
    '{"a":1,}',
    '{"a":1',
    '"a',
    '"\\',
    '01',
    '1e',
    '+1',
    '.5',
    'NaN',
    '[1-2]',
    "{'a':1}",
    '{"a":1}{"a":1}',
    '\ufeff{}',
    '{"\\x":12345678901234567890}',
    '{"a\n":12345678901234567890}',
    '{"a":1,"a":2',
    ']]]]{{{{::::'
  ]) {
    t.strictSame(outcome(text), malformed, JSON.stringify(text))
  }
})

t.test('nesting is kept up to 128 levels and refused from 129 on', async (t) => {
  const arrays = (depth: number) => '['.repeat(depth) + ']'.repeat(depth)
  const objects = (depth: number) => `${'{"a":'.repeat(depth - 1)}{}${'}'.repeat(depth - 1)}`
  for (const nest of [arrays, objects]) {
    for (const depth of [1, 127, 128]) t.strictSame(outcome(nest(depth)), { value: JSON.parse(nest(depth)) })
    for (const depth of [129, 100_000]) t.strictSame(outcome(nest(depth)), unsafeAt(''))
  }
  t.strictSame(outcome(`[${`${arrays(128)},`.repeat(3)}0]`), unsafeAt(''), 'three of 128 in one array are 129')
  t.match(outcome(`[${`${arrays(127)},`.repeat(3)}0]`), { value: Array }, 'what is closed does not count')
})

t.test('findHazard finds what the database or JavaScript would not keep', async (t) => {
  const nest = (depth: number): unknown => (depth === 1 ? {} : { a: nest(depth - 1) })
  const hazards: [unknown, string][] = [
    ['a\0b', ''],
    [{ list: ['fine', 'not \0 fine'] }, '/list/1'],
    [{ 'a/b~c': '\ud83d' }, '/a~1b~0c'],
    [{ a: { '\udc00': 1 } }, '/a/\udc00'],
    [{ 'x\0': 1 }, '/x\0'],
    [JSON.parse('{"a":{"__proto__":1}}'), '/a/__proto__'],
    [{ constructor: 1 }, '/constructor'],
    [[{ prototype: null }], '/0/prototype'],
    [{ n: Number.POSITIVE_INFINITY }, '/n'],
    [nest(JSON_DEPTH_MAX + 1), '/a'.repeat(JSON_DEPTH_MAX)]
  ]
  for (const [value, pointer] of hazards) {
    const hazard = findHazard(value, '/here')
    t.equal(hazard?.pointer, `/here${pointer}`, JSON.stringify(value))
    t.ok(hazard?.reason)
  }
  for (const value of [undefined, null, 'a 😀 b', { 'proto type': [1, -1.5, true, null, ''] }, nest(JSON_DEPTH_MAX)]) {
    t.equal(findHazard(value, ''), null, JSON.stringify(value))
  }
})

t.test('what parseJson returns without hazards is the same after a round trip', async (t) => {
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.json(), (text) => {
        const value = parseJson(text)
        // -0 is written as 0, which is the same number.
        return (
          findHazard(value, '') !== null || JSON.stringify(JSON.parse(JSON.stringify(value))) === JSON.stringify(value)
        )
      })
    )
  )
})

t.test('a pointer token is escaped so that it reads back', async (t) => {
  t.equal(escapePointer('a/b~c~1'), 'a~1b~0c~01')
  t.doesNotThrow(() =>
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom('~', '/', '0', '1', 'x') }), (key) => {
        const token = escapePointer(key)
        return !token.includes('/') && token.replaceAll('~1', '/').replaceAll('~0', '~') === key
      })
    )
  )
})

const MiB = 1024 * 1024

/** Shortest time of five runs, ms. */
function timeOf(work: () => unknown): number {
  return Math.min(
    ...Array.from({ length: 5 }, () => {
      const startedAt = performance.now()
      work()
      return performance.now() - startedAt
    })
  )
}

t.test('a body of 1 MiB takes a small multiple of what JSON.parse takes', async (t) => {
  const event = {
    id: '0191d5a0-7c1e-7000-8000-000000000001',
    eventType: 'UserUpdated',
    eventData: { n: 1, x: [0.5, 'é'] }
  }
  const bodies = {
    events: JSON.stringify(Array.from({ length: 8500 }, () => event)),
    numbers: JSON.stringify(Array.from({ length: 60_000 }, (_, i) => i / 7)),
    text: JSON.stringify('a\\"b'.repeat(MiB / 8))
  }
  for (const [name, text] of Object.entries(bodies)) {
    const ratio = timeOf(() => parseJson(text)) / timeOf(() => JSON.parse(text))
    t.ok(ratio < 20, `${name}: ${ratio.toFixed(1)} times`)
  }
})

t.test('no text of 1 MiB takes long to be refused or accepted', async (t) => {
  const many = (text: string) => text.repeat(Math.floor(MiB / text.length))
  const deep = '['.repeat(127)
  for (const [name, text] of Object.entries({
    'zeros inside a number': `0.1${many('0')}1`,
    'zeros before a number': `0.${many('0')}1`,
    'a number without end': many('9'),
    'a bad number after many good ones': `[${many('1,')}12345678901234567891]`,
    'a bad number far down': `${deep}${many('1,')}12345678901234567891${']'.repeat(127)}`,
    backslashes: `"${many('\\\\')}"`,
    'escaped quotes': `"${many('\\"')}"`,
    'a repeated key after many': `{${Array.from({ length: 60_000 }, (_, i) => `"k${i}":1,`).join('')}"k0":1}`,
    'brackets without end': many('['),
    brackets: '['.repeat(MiB / 2) + ']'.repeat(MiB / 2)
  })) {
    const startedAt = performance.now()
    outcome(text)
    const ms = performance.now() - startedAt
    t.ok(ms < 5000, `${name}: ${ms.toFixed(0)} ms`)
  }
})
