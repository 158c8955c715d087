/** `user-events outbox …`: what subscriptions owe to other systems. */
import { type Command, Option } from 'commander'
import type { ShownSubscription } from '../services/subscriptions.js'
import { OWED_AT_ONCE_MAX } from '../services/subscriptions.js'
import type { OwedEvent } from '../store/outbox.js'
import { type Cli, type Given, uuidOf, wholeOf } from './cli.js'
import { type Client, pathOf } from './client.js'
import { UsageError } from './exit-codes.js'

type Owed = Omit<OwedEvent, 'aggregateId' | 'bucket'> & { userId: string }
type Choice = { user?: string; version?: number; all?: true; global?: true }

const PAGE = 1000

export function addOutbox(program: Command, cli: Cli): void {
  const outbox = program.command('outbox').description('what subscriptions owe to other systems')
  outbox
    .command('status')
    .description('how far each subscription is, and what it owes')
    .action(
      cli.asking(async (client, { output }) => {
        const path = '/admin/subscriptions'
        const { subscriptions } = await client.ask<{ subscriptions: ShownSubscription[] }>('GET', path)
        const rows = subscriptions.map(({ name, scope, state, lagEvents, pending, dead, lastError }) => ({
          name,
          scope,
          state,
          lag: lagEvents,
          pending,
          dead,
          trouble: lastError
        }))
        await output.print(subscriptions, () => output.listed(rows, 'There are no subscriptions.'))
      })
    )
  outbox
    .command('dead')
    .description('the dead letters of a subscription: events that were given up')
    .argument('<subscription>', 'its name')
    .addOption(user())
    .addOption(global())
    .addOption(new Option('--limit <n>', 'as many at most').argParser(wholeOf(1)).default(100))
    .action(
      cli.asking<Choice & { limit: number }>(async (client, { args: [name = ''], options, output }) => {
        const found = await deadOf(client, name, options)
        const rows = found.map(({ userId, version, position, attempts, lastError, createdAt }) => ({
          user: userId,
          version,
          position,
          tries: attempts,
          since: createdAt,
          error: lastError
        }))
        await output.print(found, () => output.listed(rows, 'There are no dead letters.'))
      })
    )
  chosen(
    outbox.command('retry').description('try dead letters again; they leave the outbox when they are delivered')
  ).action(
    cli.asking<Choice>(async (client, given) => {
      await change(client, given, 'retry', {})
    })
  )
  chosen(outbox.command('discard').description('give dead letters up: they are never delivered'))
    .requiredOption('--reason <text>', 'why; kept with them')
    .action(
      cli.asking<Choice & { reason: string }>(async (client, given) => {
        await change(client, given, 'discard', { reason: given.options.reason })
      })
    )
}

const user = () => new Option('--user <userId>', 'only events of this user').argParser(uuidOf)
const global = () => new Option('--global', 'the subscription to the events of all tenants')

const chosen = (command: Command): Command =>
  command
    .argument('<subscription>', 'its name')
    .addOption(user())
    .addOption(new Option('--version <n>', 'only this event of the user').argParser(wholeOf(1)))
    .addOption(new Option('--all', 'those of all users').conflicts(['user', 'version']))
    .addOption(global())

const scopeOf = ({ global }: Choice): 'global' | 'tenant' => (global ? 'global' : 'tenant')

async function deadOf(client: Client, name: string, options: Choice & { limit: number }): Promise<Owed[]> {
  const found: Owed[] = []
  for (let cursor: string | undefined; ; ) {
    const limit = Math.min(PAGE, options.limit - found.length)
    const query = { scope: scopeOf(options), status: 'dead', userId: options.user, limit, cursor }
    const path = pathOf`/admin/subscriptions/${name}/outbox`
    const page = await client.ask<{ owed: Owed[]; next: string | null }>('GET', path, { query })
    found.push(...page.owed)
    if (page.next === null || found.length >= options.limit) return found
    cursor = page.next
  }
}

/** The service changes so many at once: until there are no more. */
async function change(client: Client, given: Given<Choice>, what: 'retry' | 'discard', more: object): Promise<void> {
  const { args, options, output } = given
  const { user, version, all } = options
  if (user === undefined && !all)
    throw new UsageError('Say whose: --user <userId>, with --version for one event, or --all.')
  const path = `${pathOf`/admin/subscriptions/${args[0] ?? ''}/outbox`}/${what}`
  const done = what === 'retry' ? 'retried' : 'discarded'
  let total = 0
  for (let count = OWED_AT_ONCE_MAX; count >= OWED_AT_ONCE_MAX; ) {
    const answer = await client.ask<Record<string, number>>('POST', path, {
      query: { scope: scopeOf(options) },
      body: { ...(user ? { userId: user } : {}), ...(version ? { version } : {}), ...more }
    })
    count = answer[done] ?? 0
    total += count
  }
  await output.print({ [done]: total }, () =>
    what === 'retry' ? `${total} events will be tried again.` : `${total} events were given up.`
  )
}
