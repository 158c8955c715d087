/**
 * What the log may hold. Errors are shown by a list of what is known to be safe: libraries hang requests, statements and their
 * parameters on theirs. Headers that let somebody in are blacked out, should ever a line hold headers.
 */

/** As many causes of an error are shown. */
const CAUSES_MAX = 5

/** Fields of errors that name things and hold no data, ours and those of Node and of drivers. */
const NAMES = ['code', 'sqlState', 'constraint', 'syscall'] as const

type LoggedError = { type: string; message: string; stack?: string; cause?: LoggedError } & {
  [name in (typeof NAMES)[number]]?: string
}

/**
 * An error as the log shows it: type, message, stack and what NAMES lists, and the same of its causes. Messages that quote what they are about
 * are left out: those of a failed statement, with all parameters, and those of JSON that cannot be parsed.
 */
export function errorForLog(err: unknown, depth = 0): LoggedError {
  if (!(err instanceof Error)) return { type: typeof err, message: 'Something was thrown that is no error.' }
  const { cause, message, stack, ...fields } = err as Error & Record<string, unknown>
  const named = NAMES.filter((name) => typeof fields[name] === 'string').map((name) => [name, fields[name]])
  const quotes = 'params' in err || err instanceof SyntaxError
  return {
    type: err.constructor.name,
    ...Object.fromEntries(named),
    message: quotes ? '(left out: it quotes data)' : message,
    // The stack begins with the message.
    stack: (stack ?? '')
      .split('\n')
      .filter((line) => !quotes || /^ {4}at /.test(line))
      .join('\n'),
    ...(cause instanceof Error && depth < CAUSES_MAX ? { cause: errorForLog(cause, depth + 1) } : {})
  }
}

const SECRET_HEADERS = ['authorization', 'cookie', 'proxy-authorization', 'set-cookie', 'x-api-key']

/** Where lines may hold headers. Any place (`*`) would be looked for in the id of every request, which takes longer than the rest of its logger. */
const PLACES = ['headers', 'req.headers', 'request.headers', 'res.headers', 'reply.headers', 'response.headers']

/** Options of pino. */
export const logOptions = {
  serializers: { err: (err: unknown) => errorForLog(err) },
  redact: SECRET_HEADERS.flatMap((name) => PLACES.map((place) => `${place}["${name}"]`))
}
