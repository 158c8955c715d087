/** `user-events replay`, `history`, `diff`, `stats`: what happened to a user, and what came of it. */

import { type Command, Option } from 'commander'
import type { Operation } from 'fast-json-patch'
import type { StoredEvent } from '../domain/event.js'
import type { StateDiff } from '../services/diff.js'
import type { Effect, Effects } from '../services/effects.js'
import type { ReplayedState } from '../services/replay.js'
import { type Cli, many, momentOf, uuidOf, wholeOf } from './cli.js'
import { type Client, pathOf } from './client.js'
import { UsageError } from './exit-codes.js'
import { linesOf } from './lines.js'
import { type Output, plain } from './output.js'

const USER = ['<userId>', 'id of the user', uuidOf] as const
const EFFECTS_PAGE = 200

type ReplayOptions = { version?: number; at?: string; snapshot: boolean; explain?: true }

export function addUserCommands(program: Command, cli: Cli): void {
  program
    .command('replay')
    .description('the state of a user: now, at a version or at a moment')
    .argument(...USER)
    .addOption(new Option('--version <n>', 'after this event').argParser(wholeOf(1)).conflicts('at'))
    .addOption(new Option('--at <date-time>', 'at this moment, such as 2026-01-31T12:00:00Z').argParser(momentOf))
    .option('--no-snapshot', 'fold every event')
    .option('--explain', 'show what each event did')
    .action(
      cli.asking<ReplayOptions>(async (client, { args: [userId = ''], options, output }) => {
        const { version, at, snapshot, explain } = options
        const query = { version, at, useSnapshot: snapshot }
        const replayed = await client.ask<ReplayedState>('GET', pathOf`/users/${userId}/state`, { query })
        if (explain) await explainUpTo(client, replayed, snapshot, output)
        else await output.print(replayed, () => stateOf(replayed))
      })
    )
  program
    .command('history')
    .description('the events of a user, the oldest first')
    .argument(...USER)
    .addOption(new Option('--from-version <n>', 'begin with this event').argParser(wholeOf(1)))
    .addOption(new Option('--to-version <n>', 'end with this event').argParser(wholeOf(1)))
    .addOption(new Option('--from <date-time>', 'recorded then or later').argParser(momentOf))
    .addOption(new Option('--to <date-time>', 'recorded before').argParser(momentOf))
    .option('--type <name>', 'only events of this type; can be given several times', many)
    .option('--backward', 'the newest first')
    .option('--as-stored', 'data as it was stored, and not lifted to the newest version of its schema')
    .action(
      cli.asking<HistoryOptions>((client, { args: [userId = ''], options, output }) =>
        history(client, userId, options, output)
      )
    )
  program
    .command('diff')
    .description('what changed between two versions of a user, as JSON Patch; version 0 is before the first event')
    .argument(...USER)
    .argument('<from>', 'version', wholeOf(0))
    .argument('<to>', 'version', wholeOf(0))
    .action(
      cli.asking(async (client, { args: [userId = '', fromVersion, toVersion], output }) => {
        const query = { fromVersion, toVersion }
        const diff = await client.ask<StateDiff>('GET', pathOf`/users/${userId}/diff`, { query })
        await output.print(diff, () =>
          diff.operations.length === 0 ? 'Nothing changed.' : operationsOf(diff.operations, output).join('\n')
        )
      })
    )
}

type HistoryOptions = {
  fromVersion?: number
  toVersion?: number
  from?: string
  to?: string
  type?: string[]
  backward?: true
  asStored?: true
}

async function history(client: Client, userId: string, options: HistoryOptions, output: Output): Promise<void> {
  const { fromVersion, toVersion, from, to, type, backward, asStored } = options
  if (fromVersion !== undefined && toVersion !== undefined && fromVersion > toVersion)
    throw new UsageError(`--from-version ${fromVersion} is after --to-version ${toVersion}.`)
  const answer = await client.open('GET', pathOf`/users/${userId}/events`, {
    query: {
      fromVersion,
      toVersion,
      from,
      to,
      eventType: type,
      direction: backward ? 'backward' : 'forward',
      upcast: !asStored
    },
    headers: { accept: 'application/x-ndjson' }
  })
  let count = 0
  for await (const line of linesOf(answer)) {
    count++
    await output.line(output.json ? line : eventLine(JSON.parse(line), output))
  }
  if (count === 0 && !output.json) output.note('No event of the user is among those asked for.')
}

/** One event on one line. */
export function eventLine(event: StoredEvent, { styled }: Output): string {
  const { version, createdAt, eventType, eventData } = event
  return `${String(version).padStart(6)}  ${styled('dim', createdAt)}  ${styled('cyan', plain(eventType))}  ${plain(eventData)}`
}

function stateOf({ version, asOf, state, replay }: ReplayedState): string {
  const { source, snapshotVersion, eventsApplied } = replay
  const from = snapshotVersion === null ? source : `${source} of version ${snapshotVersion}`
  return `Version ${version} as of ${asOf} (from ${from}, ${eventsApplied} events applied)\n${pretty(state)}`
}

/** Indented, with control characters shown but for the ends of lines. */
const pretty = (value: unknown): string => JSON.stringify(value, null, 2).split('\n').map(plain).join('\n')

async function explainUpTo(
  client: Client,
  reached: ReplayedState,
  useSnapshot: boolean,
  output: Output
): Promise<void> {
  const { userId, version } = reached
  for (let from: number | null = 1; from !== null && from <= version; ) {
    const query = { fromVersion: from, limit: Math.min(EFFECTS_PAGE, version - from + 1), useSnapshot }
    const page: Effects = await client.ask('GET', pathOf`/users/${userId}/effects`, { query })
    for (const effect of page.effects)
      await output.line(output.json ? JSON.stringify(effect) : explained(effect, output))
    from = page.next
  }
  if (!output.json) await output.line(stateOf(reached))
}

function explained({ version, eventType, createdAt, operations }: Effect, output: Output): string {
  const head = `${output.styled('bold', `${version} ${plain(eventType)}`)}  ${output.styled('dim', createdAt)}`
  const changes = operations.length === 0 ? ['changes nothing'] : operationsOf(operations, output)
  return [head, ...changes.map((line) => `  ${line}`)].join('\n')
}

/** JSON Patch as lines; an object that replaces everything is shown by its fields that hold something. */
export function operationsOf(operations: readonly Operation[], { styled }: Output): string[] {
  return operations.flatMap((operation) => {
    const { op, path } = operation
    const value = 'value' in operation ? operation.value : undefined
    if (path === '' && typeof value === 'object' && value !== null)
      return Object.entries(value)
        .filter(([, each]) => each !== null)
        .map(([name, each]) => styled('green', `+ /${plain(name)} ${plain(each)}`))
    if (op === 'remove') return [styled('red', `- ${plain(path)}`)]
    return [styled(op === 'add' ? 'green' : 'yellow', `${op === 'add' ? '+' : '~'} ${plain(path)} ${plain(value)}`)]
  })
}
