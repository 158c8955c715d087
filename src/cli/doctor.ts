/** `user-events doctor`: whether database and machine are fit for the store, and what to do where they are not. */
import { statfs } from 'node:fs/promises'
import type { Command } from 'commander'
import type { Config } from '../config.js'
import type { Db } from '../db/client.js'
import { MigrationError, readStatus } from '../db/migrate.js'
import { selectRowSecurity } from '../db/row-security.js'
import { type Diagnosis, diagnose, type Facts } from '../domain/diagnosis.js'
import { selectUniqueClaims } from '../store/claims.js'
import { type ServerFacts, type StoreFacts, selectServerFacts, selectStoreFacts } from '../store/facts.js'
import { selectIdentity } from '../store/identity.js'
import type { Cli } from './cli.js'
import { Finding } from './exit-codes.js'

export function addDoctor(program: Command, cli: Cli): void {
  program
    .command('doctor')
    .description('look at database, settings, durability, clock, disk, bloat and indexes, and say what to do')
    .action(
      cli.onDatabase(
        async (db, { output }, { config }) => {
          const checks = diagnose(await factsOf(db, config))
          await output.print({ healthy: !checks.some(isTrouble), checks }, () =>
            checks
              .flatMap(({ check, state, found, advice }) => [
                `${output.styled(COLOURS[state], state.padEnd(7))}  ${check}: ${found}`,
                ...(advice ? [`         ${advice}`] : [])
              ])
              .join('\n')
          )
          if (checks.some(isTrouble)) throw new Finding()
        },
        { asItIs: true }
      )
    )
}

const COLOURS = { ok: 'green', warning: 'yellow', trouble: 'red' } as const

const isTrouble = ({ state }: Diagnosis): boolean => state === 'trouble'

async function factsOf(db: Db, config: Config): Promise<Facts> {
  const { dataDirectory, ...server } = await selectServerFacts(db)
  const missing = await missingMigrations(db)
  const isStore = missing.length === 0
  const identity = isStore ? await selectIdentity(db) : null
  return {
    node: process.versions.node,
    ...server,
    missing,
    ...(isStore ? await selectStoreFacts(db) : NO_STORE),
    disk: await diskOf(config, dataDirectory),
    buckets: { asked: config.EVENT_BUCKETS, stored: identity?.buckets ?? null },
    claims: {
      asked: config.UNIQUE_CLAIMS?.split(',').sort().join() ?? null,
      stored: isStore ? (await selectUniqueClaims(db)).join() : ''
    },
    rowSecurity: {
      asked: config.ROW_LEVEL_SECURITY,
      ...(isStore ? await selectRowSecurity(db) : { openTables: [], ownerFree: false })
    }
  }
}

/** A database of a newer version lacks none, and is no less wrong. */
async function missingMigrations(db: Db): Promise<string[]> {
  try {
    return (await readStatus(db)).missing
  } catch (err) {
    if (err instanceof MigrationError) return [err.message]
    throw err
  }
}

/** What there is to know of a database that is none of ours yet. */
const NO_STORE: StoreFacts = {
  newestEventAheadMs: null,
  tables: [],
  invalidIndexes: [],
  unusedIndexes: [],
  trigrams: true,
  followers: [],
  deadLetters: 0,
  parkedUsers: 0,
  offlinePartitions: 0
}

/** The file system of the embedded database, or of a server on this machine whose folder can be seen from here. */
async function diskOf(config: Config, dataDirectory: ServerFacts['dataDirectory']): Promise<Facts['disk']> {
  const isHere =
    config.DATABASE_URL === undefined ||
    ['localhost', '127.0.0.1', '[::1]', ''].includes(new URL(config.DATABASE_URL).hostname)
  const folder = config.DATABASE_URL === undefined ? config.DATA_DIR : dataDirectory
  if (!isHere || folder === null) return null
  const found = await statfs(folder).catch(() => null)
  return found && { freeBytes: found.bavail * found.bsize, totalBytes: found.blocks * found.bsize }
}
