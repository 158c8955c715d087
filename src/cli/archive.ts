/**
 * `user-events archive …`: runs that move old events there, and partitions as files. export writes and verifies them, detach takes
 * the partition out of the database, restore brings it back.
 */
import { resolve } from 'node:path'
import type { Command } from 'commander'
import type { Db } from '../db/client.js'
import { checkPartition, type Manifest, readLines, readManifest, writePartition } from '../edge/partition-files.js'
import type { ArchiveView } from '../services/archive.js'
import { type ArchiveRun, selectPartitions } from '../store/archive.js'
import {
  bringBack,
  insertLines,
  prepareRestore,
  readPartition,
  takeOffline,
  updateLocation
} from '../store/cold-storage.js'
import type { Cli } from './cli.js'
import type { Output } from './output.js'

const PAGE = 1000

type Named = { partition: string }

const PARTITION = ['--partition <name>', 'such as user_events_archive_2024_03'] as const

export function addArchive(program: Command, cli: Cli): void {
  const archive = program.command('archive').description('old events: move them, keep them outside of the database')
  archive
    .command('run')
    .description('ask for a run now; the service carries it out in the background')
    .option('--dry-run', 'only count what would be moved')
    .action(
      cli.asking<{ dryRun?: true }>(async (client, { options: { dryRun = false }, output }) => {
        const run = await client.ask<ArchiveRun>('POST', '/admin/archive/runs', { body: { dryRun } })
        await output.print(run, () => `Run ${run.id} is asked for: user-events archive status shows how far it is.`)
      })
    )
  archive
    .command('status')
    .description('where events are, the newest runs, and what holds events back')
    .action(
      cli.asking(async (client, { output }) => {
        const view = await client.ask<ArchiveView>('GET', '/admin/archive')
        await output.print(view, () => statusOf(view, output))
      })
    )
  archive
    .command('list')
    .description('the partitions')
    .action(cli.onDatabase((db, { output }) => list(db, output)))
  archive
    .command('export')
    .description('write a partition as compressed lines of JSON with a manifest, and read them back to be sure')
    .requiredOption(...PARTITION)
    .requiredOption('--to <folder>', 'where the two files are written')
    .action(
      cli.onDatabase<Named & { to: string }>((db, { options: { partition, to }, output }) =>
        exportPartition(db, partition, resolve(to), output)
      )
    )
  archive
    .command('detach')
    .description(
      'take an exported partition out of the database; reads that need it answer 503 ARCHIVE_OFFLINE from then on'
    )
    .requiredOption(...PARTITION)
    .action(cli.onDatabase<Named>((db, { options: { partition }, output }) => detach(db, partition, output)))
  archive
    .command('restore')
    .description('bring a partition back that was detached')
    .requiredOption(...PARTITION)
    .option('--from <folder>', 'where its files are; where they were written when absent')
    .action(
      cli.onDatabase<Named & { from?: string }>((db, { options: { partition, from }, output }) =>
        restore(db, partition, from, output)
      )
    )
}

function statusOf({ hot, cold, offline, runs, heldBackBy, nextRun }: ArchiveView, output: Output): string {
  const rows = runs.map(({ requestedAt, origin, dryRun, status, events, error }) => ({
    asked: requestedAt,
    by: origin,
    'dry run': dryRun ? 'yes' : 'no',
    status,
    events,
    error
  }))
  return [
    `Events: ${hot.events} hot, ${cold.events} in the archive, ${offline.events} offline.`,
    `Next run by the schedule: ${nextRun ?? 'none'}.`,
    heldBackBy.length === 0
      ? 'Nothing holds events back.'
      : `Held back by ${heldBackBy.map((each) => each.follower).join(', ')}.`,
    output.listed(rows, 'There was no run yet.')
  ].join('\n')
}

async function list(db: Db, output: Output): Promise<void> {
  const partitions = await selectPartitions(db)
  const rows = partitions.map(({ name, events, bytes, location, offlineAt }) => ({
    name,
    events,
    MiB: Math.round(bytes / 2 ** 20),
    exported: location ?? 'no',
    offline: offlineAt ?? 'no'
  }))
  await output.print(partitions, () => output.listed(rows, 'Nothing is archived yet.'))
}

async function exportPartition(db: Db, partition: string, folder: string, output: Output): Promise<void> {
  const { events } = await find(partition, await selectPartitions(db))
  const progress = output.progress('written', events)
  const manifest = await writePartition(folder, partition, readPartition(db, partition, PAGE), progress.add)
  progress.end()
  await checkPartition(folder, partition)
  if (manifest.events !== events) throw differs(manifest, events)
  await updateLocation(db, partition, folder)
  await output.print(
    manifest,
    () => `Wrote and verified ${manifest.events} events, ${manifest.bytes} bytes, SHA-256 ${manifest.sha256}.`
  )
}

async function detach(db: Db, partition: string, output: Output): Promise<void> {
  const { events, location } = await find(partition, await selectPartitions(db))
  if (location === null)
    throw new Error(
      `${partition} was not exported. Export it first: user-events archive export --partition ${partition} --to <folder>`
    )
  const manifest = await checkPartition(location, partition)
  if (manifest.events !== events) throw differs(manifest, events)
  const gone = await takeOffline(db, partition)
  await output.print(
    { partition, events: gone, location },
    () => `${partition} with ${gone} events is in ${location} only. Bring it back with user-events archive restore.`
  )
}

async function restore(db: Db, partition: string, from: string | undefined, output: Output): Promise<void> {
  const { location } = await find(partition, await selectPartitions(db))
  const folder = from ?? location
  if (folder === null) throw new Error(`${partition} was never exported; it is in the database.`)
  await checkPartition(folder, partition)
  await prepareRestore(db, partition)
  const progress = output.progress('restored', (await readManifest(folder, partition)).events)
  for await (const lines of readLines(folder, partition)) {
    await insertLines(db, partition, lines)
    progress.add(lines.length)
  }
  progress.end()
  const back = await bringBack(db, partition)
  await output.print({ partition, events: back }, () => `${partition} with ${back} events is back.`)
}

async function find<P extends { name: string }>(partition: string, partitions: readonly P[]): Promise<P> {
  const found = partitions.find(({ name }) => name === partition)
  if (found) return found
  const known = partitions.map(({ name }) => name).join(', ') || 'none yet'
  throw new Error(`There is no partition ${partition}. Those of this archive: ${known}.`)
}

const differs = ({ events, partition }: Manifest, noted: number): Error =>
  new Error(
    `The export of ${partition} has ${events} events, and the database notes ${noted}. Wait until no run of the archive is under way, and export again.`
  )
