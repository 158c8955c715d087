/** `user-events migrate …`: the tables of the database. */
import type { Command } from 'commander'
import { migrate, readStatus } from '../db/migrate.js'
import type { Cli } from './cli.js'
import { Finding } from './exit-codes.js'

export function addMigrate(program: Command, cli: Cli): void {
  const group = program.command('migrate').description('bring the tables to what this version expects, as a start does')
  group
    .command('status')
    .description('which migrations are applied, and which are not')
    .action(
      cli.onDatabase(
        async (db, { output }) => {
          const status = await readStatus(db)
          const rows = [
            ...status.applied.map(({ name, appliedAt }) => ({ migration: name, applied: appliedAt })),
            ...status.missing.map((name) => ({ migration: name, applied: 'no' }))
          ]
          await output.print(status, () => output.listed(rows, ''))
          if (status.missing.length > 0) throw new Finding()
        },
        { asItIs: true }
      )
    )
  group
    .command('up')
    .description('apply those that are not; the service must not be of an older version then')
    .action(
      cli.onDatabase(
        async (_db, { output }, { url }) => {
          const applied = await migrate(url)
          await output.print({ applied }, () =>
            applied.length === 0 ? 'All are applied.' : `Applied ${applied.join(', ')}.`
          )
        },
        { asItIs: true }
      )
    )
}
