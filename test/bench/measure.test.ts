/** A run of many scenarios takes long: one that fails must not cost what the others found. */
import t from 'tap'
import { measure } from './measure.js'
import { resultsOf, tableOf } from './report.js'
import type { Scenario } from './scenarios/scenario.js'

/** What measures nothing, and fails where it is told to. */
function scenario(name: string, failing: Partial<Pick<Scenario, 'prepare' | 'measure'>> = {}): Scenario {
  return {
    name,
    unit: 'ms',
    prepare: async () => {},
    measure: async () => 3,
    limits: [{ name: 'limit', measure: async () => 2, bar: 2 }],
    ...failing
  }
}

const NONE = { before: [0, 0, 0], after: [0, 0, 0] }

t.test('a scenario that fails is told and left out, and the others are measured to the end', async (t) => {
  const notes: string[] = []
  let tries = 0
  const measured = await measure(
    [
      scenario('sound'),
      scenario('unprepared', { prepare: () => Promise.reject(new Error('no room')) }),
      scenario('broken', {
        measure: async () => {
          if (++tries === 3) throw new Error('too short')
          return 1
        }
      }),
      scenario('last')
    ],
    4,
    (text) => notes.push(text)
  )
  t.equal(tries, 3, 'what failed is not tried again')
  t.equal(notes.filter((note) => /^unprepared failed .*no room/.test(note)).length, 1)
  t.equal(notes.filter((note) => /^broken failed .*too short/.test(note)).length, 1)
  t.notOk(notes.some((note) => /^round \d of 4: unprepared/.test(note)))

  const plan = { durationMs: 1, quick: false, rounds: 4, growTo: 0 }
  const { results, failures } = resultsOf(measured, NONE, plan)
  t.strictSame(
    results.map(({ name, median, limits }) => [name, median, limits[0]!.ratios]),
    [
      ['sound', 3, [1.5, 1.5, 1.5, 1.5]],
      ['last', 3, [1.5, 1.5, 1.5, 1.5]]
    ]
  )
  t.strictSame(failures, [
    { name: 'unprepared', failure: 'no room' },
    { name: 'broken', failure: 'too short' }
  ])
  const lines = tableOf(measured, NONE).split('\n')
  t.match(
    lines.find((line) => line.startsWith('broken')),
    /^broken +FAILED +too short$/
  )
  t.match(
    lines.find((line) => line.startsWith('last')),
    /^last +3\.00 ms/
  )
})
