/** `user-events key …`: API keys. On the database they are made without one; so the first key comes to be. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import { isScope, SCOPES, type Scope } from '../domain/access.js'
import type { ShownKey } from '../services/access.js'
import { type Cli, momentOf } from './cli.js'
import { pathOf } from './client.js'

type CreateOptions = { name: string; scopes: Scope[]; expires?: string }

export function addKeys(program: Command, cli: Cli): void {
  const key = program.command('key').description('API keys')
  key
    .command('create')
    .description('make a key, for --tenant, and print it; it is seen here only')
    .requiredOption('--name <text>', 'who uses it, and for what')
    .addOption(
      new Option('--scopes <list>', `what it may do, with commas: ${SCOPES.join(',')}`)
        .argParser(scopesOf)
        .default([...SCOPES], 'all')
    )
    .addOption(
      new Option('--expires <date-time>', 'such as 2027-01-01T00:00:00Z; never when absent').argParser(momentOf)
    )
    .action(
      cli.asking<CreateOptions>(async (client, { options: { name, scopes, expires }, output }) => {
        const body = { name, scopes, ...(expires ? { expiresAt: expires } : {}) }
        const made = await client.ask<ShownKey & { key: string }>('POST', '/admin/api-keys', { body })
        await output.print(made, () => made.key)
      })
    )
  key
    .command('list')
    .description('the keys of a tenant, the newest first')
    .action(
      cli.asking(async (client, { output }) => {
        const { keys } = await client.ask<{ keys: ShownKey[] }>('GET', '/admin/api-keys')
        const rows = keys.map(({ id, hint, name, scopes, lastUsedAt, expiresAt, revokedAt }) => ({
          id,
          key: `${hint}…`,
          name,
          scopes: scopes.join(','),
          used: lastUsedAt ?? 'never',
          expires: expiresAt ?? 'never',
          revoked: revokedAt ?? 'no'
        }))
        await output.print(keys, () => output.listed(rows, 'There are no keys of this tenant.'))
      })
    )
  key
    .command('revoke')
    .description('end a key; all instances refuse it within 5 seconds')
    .argument('<id>', 'as the list shows it')
    .action(
      cli.asking(async (client, { args: [id = ''], output }) => {
        const revoked = await client.ask<ShownKey>('DELETE', pathOf`/admin/api-keys/${id}`)
        await output.print(revoked, () => `The key ${id} (${revoked.name}) is revoked.`)
      })
    )
}

function scopesOf(list: string): Scope[] {
  const words = list.split(',').map((word) => word.trim())
  const wrong = words.find((word) => !isScope(word))
  if (wrong !== undefined)
    throw new InvalidArgumentError(`"${wrong}" is no scope; expected some of ${SCOPES.join(',')}.`)
  return words as Scope[]
}
