/** `user-events tail`: the feed as it comes. */
import { setTimeout as pause } from 'node:timers/promises'
import { type Command, Option } from 'commander'
import type { StoredEvent } from '../domain/event.js'
import { type Cli, type Given, many, uuidOf, wholeOf } from './cli.js'
import type { Client } from './client.js'
import { EXIT, exitCodeOf, UnavailableError } from './exit-codes.js'
import { linesOf } from './lines.js'
import { type Output, plain } from './output.js'

type TailOptions = {
  type?: string[]
  user?: string
  fromBeginning?: true
  after?: string
  limit?: number
  asStored?: true
}

const RECONNECT_MS = 1000

export function addTail(program: Command, cli: Cli): void {
  program
    .command('tail')
    .description('follow the events of all users as they come; ends with Ctrl-C')
    .option('--type <name>', 'only events of this type; can be given several times', many)
    .addOption(new Option('--user <userId>', 'only events of this user').argParser(uuidOf))
    .option('--from-beginning', 'first all that there are')
    .addOption(new Option('--after <cursor>', 'go on behind this place of the feed').conflicts('fromBeginning'))
    .addOption(new Option('--limit <n>', 'end after so many').argParser(wholeOf(1)))
    .option('--as-stored', 'data as it was stored, and not lifted to the newest version of its schema')
    .action(cli.asking<TailOptions>(tail))
}

async function tail(client: Client, { options, output, onInterrupt }: Given<TailOptions>): Promise<void> {
  const { type, user, fromBeginning, after, limit = Number.POSITIVE_INFINITY, asStored } = options
  const query = { eventType: type, userId: user, upcast: !asStored, start: fromBeginning ? 'beginning' : 'now' }
  const ended = new AbortController()
  const stop = AbortSignal.any([ended.signal, ...(onInterrupt ? [onInterrupt()] : [])])
  let cursor = after
  let seen = 0

  const follow = (): Promise<Response> => {
    const headers = cursor === undefined ? {} : { 'last-event-id': cursor }
    return client.open('GET', '/events/stream', { query, headers, signal: stop })
  }

  /** The service may be starting again. */
  async function followAgain(): Promise<Response> {
    for (;;) {
      await pause(RECONNECT_MS, undefined, { signal: stop })
      try {
        return await follow()
      } catch (err) {
        if (exitCodeOf(err) !== EXIT.unavailable) throw err
      }
    }
  }

  try {
    for (let answer = await follow(); ; answer = await followAgain()) {
      for await (const message of messagesOf(answer)) {
        cursor = message.id
        if (message.data === null) continue
        await output.line(output.json ? message.data : feedLine(JSON.parse(message.data), output))
        if (++seen >= limit) return
      }
      if (!stop.aborted) output.note('The stream was cut off; following again from where it was.')
    }
  } catch (err) {
    if (!stop.aborted) throw err
  } finally {
    ended.abort()
  }
}

/** An id moves the cursor, also without data. Ends when the stream does, however that is. */
async function* messagesOf(answer: Response): AsyncGenerator<{ id: string; data: string | null }> {
  let [id, data] = ['', null as string | null]
  try {
    for await (const line of linesOf(answer)) {
      if (line.startsWith('id: ')) id = line.slice('id: '.length)
      else if (line.startsWith('data: ')) data = line.slice('data: '.length)
      else if (line === '' && id !== '') {
        yield { id, data }
        data = null
      }
    }
  } catch (err) {
    if (!(err instanceof UnavailableError)) throw err
  }
}

function feedLine(event: StoredEvent, { styled }: Output): string {
  const { position, createdAt, aggregateId, version, eventType, eventData } = event
  return `${String(position).padStart(8)}  ${styled('dim', createdAt)}  ${aggregateId} ${version}  ${styled('cyan', plain(eventType))}  ${plain(eventData)}`
}
