/** `user-events key …`: API keys, made without one; so the first key comes to be. */
import { Command, InvalidArgumentError, Option } from 'commander'
import type { Db } from '../db/client.js'
import { ANYBODY, isScope, SCOPES, type Scope } from '../domain/access.js'
import type { AdminRequest } from '../domain/audit.js'
import { DEFAULT_TENANT, UUID } from '../domain/event.js'
import { parseInstant } from '../domain/formats.js'
import { type AccessService, createAccessService } from '../services/access.js'
import { createAuditService } from '../services/audit.js'
import type { WithDatabase } from './database.js'

/** Stands in `createdBy` and `revokedBy`. */
const OPERATOR = { ...ANYBODY, name: 'user-events' }

/** Status of what was done: the command line has no other. */
const DONE = 200

type CreateOptions = { name: string; tenant: string; scopes: Scope[]; expires?: string; json?: true }

export function keyCommand(withDatabase: WithDatabase): Command {
  const withKeys = <T>(work: (access: AccessService) => Promise<T>): Promise<T> =>
    withDatabase((db) => work(accessOf(db)))
  /** Notes in the audit what the command does, as the `action` of the contract that does the same. */
  const change = <T>(
    { action, path, tenantId }: Pick<AdminRequest, 'action' | 'path' | 'tenantId'>,
    work: (access: AccessService) => Promise<T>
  ): Promise<T> =>
    withDatabase(async (db) => {
      const audit = createAuditService({ db })
      const request = { tenantId, principal: OPERATOR.name, action, path, address: 'local', requestId: '' }
      const id = await audit.note(request)
      const result = await work(accessOf(db))
      await audit.conclude(id, DONE)
      return result
    })
  const tenant = () =>
    new Option('--tenant <uuid>', 'whom the key acts for').argParser(tenantOf).default(DEFAULT_TENANT, 'default tenant')
  const key = new Command('key').description('API keys')
  key
    .command('create')
    .description('make a key and print it; it is seen here only')
    .requiredOption('--name <text>', 'who uses it, and for what')
    .addOption(
      new Option('--scopes <list>', `what it may do, with commas: ${SCOPES.join(',')}`)
        .argParser(scopesOf)
        .default([...SCOPES], 'all')
    )
    .addOption(tenant())
    .addOption(
      new Option('--expires <date-time>', 'such as 2027-01-01T00:00:00Z; never when absent').argParser(momentOf)
    )
    .option('--json', 'as JSON')
    .action(async ({ name, tenant, scopes, expires = undefined, json }: CreateOptions) => {
      const wanted = { name, tenantId: tenant, scopes, expiresAt: expires ?? null }
      const request = { action: 'createApiKey', path: 'user-events key create', tenantId: tenant }
      const made = await change(request, (access) => access.create(wanted, OPERATOR))
      console.log(json ? JSON.stringify(made) : made.key)
    })
  key
    .command('list')
    .description('the keys of a tenant, the newest first; --json for programs')
    .addOption(tenant())
    .option('--json', 'as JSON')
    .action(async ({ tenant, json }: { tenant: string; json?: true }) => {
      const keys = await withKeys((access) => access.list(tenant))
      if (json) console.log(JSON.stringify(keys))
      else if (keys.length === 0) console.log('There are no keys of this tenant.')
      else
        console.table(
          keys.map(({ id, hint, name, scopes, lastUsedAt, expiresAt, revokedAt }) => ({
            id,
            key: `${hint}…`,
            name,
            scopes: scopes.join(','),
            used: lastUsedAt ?? 'never',
            expires: expiresAt ?? 'never',
            revoked: revokedAt ?? 'no'
          }))
        )
    })
  key
    .command('revoke')
    .description('end a key; all instances refuse it within 5 seconds')
    .argument('<id>', 'as the list shows it')
    .addOption(tenant())
    .action(async (id: string, { tenant }: { tenant: string }) => {
      const request = { action: 'revokeApiKey', path: `user-events key revoke ${id}`, tenantId: tenant }
      const { name } = await change(request, (access) => access.revoke(id, tenant, OPERATOR))
      console.log(`The key ${id} (${name}) is revoked.`)
    })
  return key
}

const accessOf = (db: Db): AccessService => createAccessService({ db, required: undefined, tokens: null })

function scopesOf(list: string): Scope[] {
  const words = list.split(',').map((word) => word.trim())
  const wrong = words.find((word) => !isScope(word))
  if (wrong !== undefined)
    throw new InvalidArgumentError(`"${wrong}" is no scope; expected some of ${SCOPES.join(',')}.`)
  return words as Scope[]
}

function tenantOf(text: string): string {
  if (new RegExp(UUID).test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('Expected a UUID.')
}

function momentOf(text: string): string {
  const moment = parseInstant(text)
  if (moment) return moment
  throw new InvalidArgumentError('Expected an RFC 3339 date-time such as 2027-01-01T00:00:00Z.')
}
