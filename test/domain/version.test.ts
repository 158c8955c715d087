import t from 'tap'
import { etagOf, expectationOf } from '../../src/domain/version.js'

t.test('an expectation is taken from the one place that states it', async (t) => {
  t.strictSame(expectationOf(undefined, undefined, undefined), { version: 'any', byHeader: false })
  for (const version of [0, 4, 'any', 'none', 'exists'] as const) {
    t.strictSame(expectationOf(version, undefined, undefined), { version, byHeader: false })
  }
  for (const [header, version] of [
    ['"4"', 4],
    [' "4" ', 4],
    ['"0"', 0],
    ['"2147483647"', 2_147_483_647],
    [etagOf(12, '0123456789ab'), 12],
    ['*', 'exists'],
    [' * ', 'exists']
  ] as const) {
    t.strictSame(expectationOf(undefined, header, undefined), { version, byHeader: true }, header)
  }
  t.strictSame(expectationOf(undefined, undefined, '*'), { version: 'none', byHeader: true })
})

t.test('places that agree are one expectation, and the header is the one that asked', async (t) => {
  t.strictSame(expectationOf(4, '"4"', undefined), { version: 4, byHeader: true })
  t.strictSame(expectationOf('exists', '*', undefined), { version: 'exists', byHeader: true })
  t.strictSame(expectationOf('none', undefined, '*'), { version: 'none', byHeader: true })
  t.strictSame(expectationOf(0, undefined, '*'), { version: 'none', byHeader: true }, 'version 0 is none')
  t.strictSame(expectationOf('none', '"0"', '*'), { version: 0, byHeader: true })
})

t.test('places that disagree are PRECONDITION_AMBIGUOUS', async (t) => {
  for (const [body, ifMatch, ifNoneMatch] of [
    [5, '"4"', undefined],
    ['any', '"4"', undefined],
    ['none', '*', undefined],
    [4, '*', undefined],
    [1, undefined, '*'],
    [undefined, '*', '*'],
    [undefined, '"4"', '*'],
    [4, '"4"', '*']
  ] as const) {
    t.throws(
      () => expectationOf(body, ifMatch, ifNoneMatch),
      { code: 'PRECONDITION_AMBIGUOUS' },
      `${body} ${ifMatch} ${ifNoneMatch}`
    )
  }
})

t.test('headers that name no version are PRECONDITION_INVALID', async (t) => {
  for (const header of [
    '',
    '4',
    '"-1"',
    '"4.5"',
    '"four"',
    '"4", "5"',
    'W/"4"',
    '"2147483648"',
    '"99999999999"',
    '"4-XYZ"',
    '"4"5',
    '""'
  ]) {
    t.throws(() => expectationOf(undefined, header, undefined), { code: 'PRECONDITION_INVALID' }, `If-Match: ${header}`)
  }
  for (const header of ['', '"4"', '**']) {
    t.throws(
      () => expectationOf(undefined, undefined, header),
      { code: 'PRECONDITION_INVALID' },
      `If-None-Match: ${header}`
    )
  }
})
