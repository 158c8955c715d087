/** `user-events types …`: the event types, and further ones of your own. */
import { readFile } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { text } from 'node:stream/consumers'
import type { Command } from 'commander'
import type { Break } from '../domain/examine-type.js'
import type { TypeDetails, TypeSummary } from '../services/event-types.js'
import { type Cli, type Given, wholeOf } from './cli.js'
import { type Client, pathOf } from './client.js'
import { Finding, UsageError } from './exit-codes.js'
import { plain } from './output.js'

type Registered = { eventType: string; version: number; registered: boolean; breaks: Break[] }
type RegisterOptions = { file: string; global?: true }

export function addTypes(program: Command, cli: Cli): void {
  const types = program.command('types').description('event types')
  types
    .command('list')
    .description('the types that can be used')
    .action(
      cli.asking(async (client, { output }) => {
        const { eventTypes } = await client.ask<{ eventTypes: TypeSummary[] }>('GET', '/event-types')
        const rows = eventTypes.map(({ eventType, scope, versions, summary }) => ({
          type: eventType,
          scope,
          versions,
          summary
        }))
        await output.print(eventTypes, () => output.listed(rows, 'There are none.'))
      })
    )
  types
    .command('show')
    .description('a type with its schemas, as JSON')
    .argument('<type>', 'its name')
    .action(
      cli.asking(async (client, { args: [type = ''], output }) => {
        const details = await client.ask<TypeDetails>('GET', pathOf`/event-types/${type}`)
        await output.print(details, () => JSON.stringify(details, null, 2).split('\n').map(plain).join('\n'))
      })
    )
  defined(
    types.command('register').description('make a version of a type of your own; it can never be changed')
  ).action(
    cli.asking<RegisterOptions>(async (client, given) => {
      const { output } = given
      const made = await put(client, given, false)
      await output.print(made, () => [`${made.eventType} ${made.version} is registered.`, ...breaksOf(made)].join('\n'))
    })
  )
  defined(types.command('check').description('what would break if it were registered; nothing is')).action(
    cli.asking<RegisterOptions>(async (client, given) => {
      const { output } = given
      const checked = await put(client, given, true)
      const good = [`${checked.eventType} ${checked.version} can be registered, and breaks nothing.`]
      await output.print(checked, () => (checked.breaks.length === 0 ? good : breaksOf(checked)).join('\n'))
      if (checked.breaks.length > 0) throw new Finding()
    })
  )
}

const defined = (command: Command): Command =>
  command
    .argument('<type>', 'its name')
    .argument('<version>', 'the next of its versions', wholeOf(1, 1000))
    .requiredOption('--file <file>', 'its definition as JSON: schema, effect, upcast; - for stdin')
    .option('--global', 'for all tenants')

async function put(client: Client, given: Given<RegisterOptions>, dryRun: boolean): Promise<Registered> {
  const { args, options, stdin } = given
  const [type = '', version = ''] = args
  const query = { scope: options.global ? 'global' : 'tenant', dryRun }
  const body = await definitionOf(options.file, stdin)
  return await client.ask('PUT', pathOf`/event-types/${type}/versions/${version}`, { query, body })
}

async function definitionOf(file: string, stdin: Readable): Promise<object> {
  try {
    const found: unknown = JSON.parse(file === '-' ? await text(stdin) : await readFile(file, 'utf8'))
    if (typeof found === 'object' && found !== null) return found
    throw new Error('it is no object')
  } catch (err) {
    throw new UsageError(`${file} is no definition of an event type: ${(err as Error).message}.`)
  }
}

const breaksOf = ({ breaks }: Registered): string[] =>
  breaks.map(({ direction, pointer, reason }) => `${direction}, at ${plain(pointer) || 'its root'}: ${plain(reason)}`)
