/** What the log shows of errors and headers, whatever libraries put into them. */
import { DrizzleQueryError } from 'drizzle-orm/errors'
import { pino } from 'pino'
import t from 'tap'
import { DbError } from '../../src/db/pg-error.js'
import { logOptions } from '../../src/observe/log.js'

function logged(fields: object): { text: string; line: Record<string, any> } {
  const lines: string[] = []
  pino({ level: 'trace', ...logOptions }, { write: (line) => lines.push(line) }).error(fields, 'failed')
  const [text = ''] = lines
  return { text, line: JSON.parse(text) }
}

t.test('an error is shown with its type, code, message, stack and causes', (t) => {
  const cause = Object.assign(new TypeError('the cause'), { code: 'ECONNREFUSED' })
  const { line } = logged({ err: new Error('the message', { cause }) })
  t.match(line.err, {
    type: 'Error',
    message: 'the message',
    stack: /^Error: the message\n {4}at /,
    cause: { type: 'TypeError', code: 'ECONNREFUSED', message: 'the cause', stack: /^TypeError: the cause\n {4}at / }
  })
  t.end()
})

t.test('an error of the database is shown with the names that tell what it was', (t) => {
  const { line } = logged({ err: new DbError('definite', '23514', 'positions_positive', 'refused') })
  t.match(line.err, { type: 'DbError', sqlState: '23514', constraint: 'positions_positive', message: 'refused' })
  t.end()
})

t.test('nothing else of it is shown', (t) => {
  const err = Object.assign(new Error('failed'), {
    request: { headers: { authorization: 'hunter2' } },
    body: 'hunter2'
  })
  t.notMatch(logged({ err }).text, 'hunter2')
  t.notMatch(logged({ err: new Error('failed', { cause: err }) }).text, 'hunter2')
  t.notMatch(logged({ err: 'hunter2' }).text, 'hunter2')
  t.end()
})

t.test('messages that quote data are left out, in causes too', (t) => {
  const statement = new DrizzleQueryError('select $1', ['hunter2\nhunter2'], new Error('no connection'))
  let noJson: unknown
  try {
    JSON.parse('{"password":hunter2}')
  } catch (err) {
    noJson = err
  }
  for (const err of [statement, noJson]) {
    t.match(String((err as Error).message), 'hunter2')
    for (const shown of [logged({ err }), logged({ err: new Error('failed', { cause: err }) })]) {
      t.notMatch(shown.text, 'hunter2')
      t.match(shown.text, /\(left out.*\\n {4}at /)
    }
  }
  t.match(logged({ err: statement }).line.err.cause.message, 'no connection')
  t.end()
})

t.test('causes that go round in a circle end', (t) => {
  const err: Error & { cause?: unknown } = new Error('round')
  err.cause = err
  t.match(logged({ err }).line.err.cause.message, 'round')
  t.end()
})

t.test('headers that let somebody in are blacked out', (t) => {
  for (const name of ['authorization', 'cookie', 'set-cookie', 'x-api-key']) {
    const headers = { [name]: 'hunter2', host: 'example.com' }
    for (const fields of [
      { headers },
      { req: { headers } },
      { request: { headers } },
      { res: { headers } },
      { reply: { headers } },
      { response: { headers } }
    ]) {
      const { text } = logged(fields)
      t.notMatch(text, 'hunter2')
      t.match(text, 'example.com')
    }
  }
  t.end()
})
