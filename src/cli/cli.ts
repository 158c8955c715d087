/** What all commands share: where they work, what they print, and the options that say so. */
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { Db } from '../db/client.js'
import { UUID } from '../domain/event.js'
import { parseInstant } from '../domain/formats.js'
import { type Client, createClient } from './client.js'
import type { DatabasePlace } from './database.js'
import { UsageError } from './exit-codes.js'
import { createOutput, type Io, type Output } from './output.js'

type Globals = { url?: string; key?: string; tenant?: string; json?: true }

/** What a command was given. */
export type Given<Options> = { args: string[]; options: Options & Globals; output: Output } & Pick<
  Io,
  'stdin' | 'onInterrupt'
>

// biome-ignore lint/suspicious/noExplicitAny: as commander has it
type Action = (...params: any[]) => Promise<void>

export type Cli = ReturnType<typeof createCli>

/** `env` is the environment of the process. */
export function createCli(env: Record<string, string | undefined>, io: Io) {
  function acting<Options extends object>(work: (given: Given<Options>, command: Command) => Promise<void>): Action {
    return async (...params) => {
      const command = params.at(-1) as Command
      const options = command.optsWithGlobals<Options & Globals>()
      const url = options.url ?? (env.USER_EVENTS_URL ? urlOf(env.USER_EVENTS_URL) : undefined)
      const given = { ...options, ...(url ? { url } : {}) }
      const output = createOutput(options.json === true, io)
      const { stdin, onInterrupt } = io
      const args = command.processedArgs as string[]
      await work({ args, options: given, output, stdin, ...(onInterrupt ? { onInterrupt } : {}) }, command)
    }
  }
  return {
    /** Whether the command line or the environment names a service. */
    isAtService: (command: Command): boolean =>
      command.optsWithGlobals<Globals>().url !== undefined || Boolean(env.USER_EVENTS_URL),

    /** An action that asks a service: the one at --url, or one on the database of this machine that is there for the command alone. */
    asking<Options extends object>(work: (client: Client, given: Given<Options>) => Promise<void>): Action {
      return acting(async (given: Given<Options>, command) => {
        const { url, key, tenant } = given.options
        if (url !== undefined) return await work(createClient({ url, key: key ?? env.USER_EVENTS_KEY, tenant }), given)
        if (key !== undefined)
          throw new UsageError('--key is for the service at --url. Give both, or none to work on the database itself.')
        const { withLocalService } = await import('./local.js')
        await withLocalService(env, nameOf(command, given.args), (place) =>
          work(createClient({ ...place, tenant }), given)
        )
      })
    },

    /** An action that only prints, whatever the store. */
    printing: (text: (given: Given<object>) => string): Action =>
      acting(async (given: Given<object>) => await given.output.line(text(given))),

    /** An action that needs no more than the environment, and takes no --url. */
    here(work: (env: Record<string, string | undefined>) => Promise<void>): Action {
      return acting(async ({ options }, command) => {
        if (options.url !== undefined) throw onlyHere(command)
        await work(env)
      })
    },

    /** An action on the database itself; `asItIs` also on one of another version. */
    onDatabase<Options extends object>(
      work: (db: Db, given: Given<Options>, place: DatabasePlace) => Promise<void>,
      how: { asItIs?: boolean; poolMax?: number } = {}
    ): Action {
      return acting(async (given: Given<Options>, command) => {
        if (given.options.url !== undefined) throw onlyHere(command)
        const { withDatabaseOf } = await import('./database.js')
        await withDatabaseOf(env, (db, place) => work(db, given, place), how)
      })
    }
  }
}

const onlyHere = (command: Command): UsageError =>
  new UsageError(
    `${nameOf(command)} works on the database only. Leave --url (USER_EVENTS_URL) out, and say by DATABASE_URL or DATA_DIR where it is.`
  )

/** Options that every command takes, before or after its name. */
export const globalOptions = (): Option[] => [
  new Option('--url <url>', 'the service to ask (or USER_EVENTS_URL); without it, the database').argParser(urlOf),
  new Option(
    '--key <key>',
    'API key or token for it (better USER_EVENTS_KEY: others on the machine can see what was typed)'
  ),
  new Option('--tenant <uuid>', 'whose users; the default tenant, or that of the key').argParser(uuidOf),
  new Option('--json', 'print JSON, for programs')
]

/** A command with its groups and what it works on, as the audit shows it: `user-events key revoke 0123`. */
function nameOf(command: Command, args: readonly string[] = []): string {
  const names: string[] = []
  for (let at: Command | null = command; at; at = at.parent) names.unshift(at.name())
  return [...names, ...args.filter((arg) => typeof arg === 'string')].join(' ')
}

export function uuidOf(text: string): string {
  if (new RegExp(UUID).test(text)) return text.toLowerCase()
  throw new InvalidArgumentError('Expected a UUID.')
}

export function momentOf(text: string): string {
  const moment = parseInstant(text)
  if (moment) return moment
  throw new InvalidArgumentError('Expected an RFC 3339 date-time such as 2027-01-01T00:00:00Z.')
}

/** A whole number of at least `min`. */
export const wholeOf =
  (min: number, max = 2_147_483_647) =>
  (text: string): number => {
    const number = Number(text)
    if (/^\d+$/.test(text) && number >= min && number <= max) return number
    throw new InvalidArgumentError(`Expected a whole number from ${min} to ${max}.`)
  }

export const many = (text: string, before: string[] | undefined): string[] => [...(before ?? []), text]

function urlOf(text: string): string {
  if (URL.canParse(text) && /^https?:$/.test(new URL(text).protocol)) return text
  throw new InvalidArgumentError('Expected a URL such as http://127.0.0.1:3000.')
}
