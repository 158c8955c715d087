#!/usr/bin/env node
/** The command line: `user-events --help`. Commands stand in files of their own. */
import { Command } from 'commander'
import { archiveCommand } from './archive.js'
import { type WithDatabase, withDatabaseOf } from './database.js'
import { keyCommand } from './key.js'

const withDatabase: WithDatabase = (work) => withDatabaseOf(process.env, work)

const program = new Command('user-events')
  .description('Tools for a user-event-store: they work on its database, also while the service runs.')
  .addHelpText(
    'after',
    '\nThe database is the one of DATABASE_URL, or without it the embedded one in DATA_DIR (./data).'
  )
  .addCommand(archiveCommand(withDatabase))
  .addCommand(keyCommand(withDatabase))

try {
  await program.parseAsync()
} catch (err) {
  console.error(`error: ${(err as Error).message}`)
  process.exitCode = 1
}
