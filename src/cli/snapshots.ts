/** `user-events snapshots …`: stored states, which can always be thrown away. */
import { type Command, Option } from 'commander'
import type { Snapshot } from '../domain/snapshot.js'
import { type Cli, uuidOf, wholeOf } from './cli.js'
import { pathOf } from './client.js'
import { UsageError } from './exit-codes.js'

type Summary = Omit<Snapshot, 'state'>
type CleanupOptions = { retain?: number; olderThanDays?: number }

export function addSnapshots(program: Command, cli: Cli): void {
  const snapshots = program.command('snapshots').description('stored states of users')
  snapshots
    .command('list')
    .description('the snapshots of a user')
    .argument('<userId>', 'id of the user', uuidOf)
    .action(
      cli.asking(async (client, { args: [userId = ''], output }) => {
        const path = pathOf`/users/${userId}/snapshots`
        const { snapshots: found } = await client.ask<{ snapshots: Summary[] }>('GET', path)
        const rows = found.map(({ version, fingerprint, createdAt, metadata }) => ({
          version,
          bytes: metadata.snapshotSize,
          reason: metadata.reason,
          'made by': metadata.createdBy,
          'under rules': fingerprint,
          made: createdAt
        }))
        await output.print(found, () => output.listed(rows, 'The user has no snapshots.'))
      })
    )
  snapshots
    .command('create')
    .description('make a snapshot of the state of a user now')
    .argument('<userId>', 'id of the user', uuidOf)
    .option('--reason <text>', 'kept with it', 'manual')
    .action(
      cli.asking<{ reason: string }>(async (client, { args: [userId = ''], options: { reason }, output }) => {
        const path = pathOf`/admin/users/${userId}/snapshots`
        const snapshot = await client.ask<Summary>('POST', path, { body: { reason } })
        await output.print(snapshot, () => `There is a snapshot of version ${snapshot.version}.`)
      })
    )
  snapshots
    .command('cleanup')
    .description(
      "delete older snapshots: of a user but for so many, or of everybody by age; a user's newest usable one stays"
    )
    .argument('[userId]', 'id of the user', uuidOf)
    .addOption(new Option('--retain <n>', 'how many of the user stay').argParser(wholeOf(0, 1000)))
    .addOption(
      new Option('--older-than-days <n>', 'of everybody, those of this age')
        .argParser(wholeOf(0, 36_500))
        .conflicts('retain')
    )
    .action(
      cli.asking<CleanupOptions>(async (client, { args: [userId], options: { retain, olderThanDays }, output }) => {
        if (
          (userId === undefined) !== (retain === undefined) ||
          (userId === undefined) === (olderThanDays === undefined)
        )
          throw new UsageError('Name a user and --retain, or nobody and --older-than-days.')
        const { deleted } =
          userId === undefined
            ? await client.ask<Deleted>('POST', '/admin/snapshots/cleanup', { body: { olderThanDays } })
            : await client.ask<Deleted>('POST', pathOf`/admin/users/${userId}/snapshots/cleanup`, { body: { retain } })
        await output.print({ deleted }, () => `${deleted} snapshots were deleted.`)
      })
    )
}

type Deleted = { deleted: number }
