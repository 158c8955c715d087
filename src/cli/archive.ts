/**
 * `user-events archive …`: partitions of the archive as files. export writes and verifies them, detach takes the partition out of the
 * database, restore brings it back.
 */
import { resolve } from 'node:path'
import { Command } from 'commander'
import { checkPartition, type Manifest, readLines, readManifest, writePartition } from '../edge/partition-files.js'
import { selectPartitions } from '../store/archive.js'
import {
  bringBack,
  insertLines,
  prepareRestore,
  readPartition,
  takeOffline,
  updateLocation
} from '../store/cold-storage.js'
import type { WithDatabase } from './database.js'
import { reportProgress } from './progress.js'

const PAGE = 1000

export function archiveCommand(withDatabase: WithDatabase): Command {
  const archive = new Command('archive').description('keep partitions of the archive outside of the database')
  archive
    .command('list')
    .description('the partitions, as a table; --json for programs')
    .option('--json', 'as JSON')
    .action(({ json }: { json?: true }) => list(withDatabase, json === true))
  archive
    .command('export')
    .description('write a partition as compressed lines of JSON with a manifest, and read them back to be sure')
    .requiredOption('--partition <name>', 'such as user_events_archive_2024_03')
    .requiredOption('--to <folder>', 'where the two files are written')
    .action(({ partition, to }: { partition: string; to: string }) =>
      exportPartition(withDatabase, partition, resolve(to))
    )
  archive
    .command('detach')
    .description(
      'take an exported partition out of the database; reads that need it answer 503 ARCHIVE_OFFLINE from then on'
    )
    .requiredOption('--partition <name>', 'such as user_events_archive_2024_03')
    .action(({ partition }: { partition: string }) => detach(withDatabase, partition))
  archive
    .command('restore')
    .description('bring a partition back that was detached')
    .requiredOption('--partition <name>', 'such as user_events_archive_2024_03')
    .option('--from <folder>', 'where its files are; where they were written when absent')
    .action(({ partition, from }: { partition: string; from?: string }) => restore(withDatabase, partition, from))
  return archive
}

async function list(withDatabase: WithDatabase, json: boolean): Promise<void> {
  const partitions = await withDatabase(selectPartitions)
  if (json) console.log(JSON.stringify(partitions))
  else if (partitions.length === 0) console.log('Nothing is archived yet.')
  else
    console.table(
      partitions.map(({ name, events, bytes, location, offlineAt }) => ({
        name,
        events,
        MiB: Math.round(bytes / 2 ** 20),
        exported: location ?? 'no',
        offline: offlineAt ?? 'no'
      }))
    )
}

async function exportPartition(withDatabase: WithDatabase, partition: string, folder: string): Promise<void> {
  await withDatabase(async (db) => {
    const { events } = await find(partition, await selectPartitions(db))
    const progress = reportProgress('written', events)
    const manifest = await writePartition(folder, partition, readPartition(db, partition, PAGE), progress.add)
    progress.end()
    await checkPartition(folder, partition)
    if (manifest.events !== events) throw differs(manifest, events)
    await updateLocation(db, partition, folder)
    console.log(`Wrote and verified ${manifest.events} events, ${manifest.bytes} bytes, SHA-256 ${manifest.sha256}.`)
  })
}

async function detach(withDatabase: WithDatabase, partition: string): Promise<void> {
  await withDatabase(async (db) => {
    const { events, location } = await find(partition, await selectPartitions(db))
    if (location === null)
      throw new Error(
        `${partition} was not exported. Export it first: user-events archive export --partition ${partition} --to <folder>`
      )
    const manifest = await checkPartition(location, partition)
    if (manifest.events !== events) throw differs(manifest, events)
    const gone = await takeOffline(db, partition)
    console.log(
      `${partition} with ${gone} events is in ${location} only. Bring it back with user-events archive restore.`
    )
  })
}

async function restore(withDatabase: WithDatabase, partition: string, from: string | undefined): Promise<void> {
  await withDatabase(async (db) => {
    const { location } = await find(partition, await selectPartitions(db))
    const folder = from ?? location
    if (folder === null) throw new Error(`${partition} was never exported; it is in the database.`)
    await checkPartition(folder, partition)
    await prepareRestore(db, partition)
    const progress = reportProgress('restored', (await readManifest(folder, partition)).events)
    for await (const lines of readLines(folder, partition)) {
      await insertLines(db, partition, lines)
      progress.add(lines.length)
    }
    progress.end()
    const back = await bringBack(db, partition)
    console.log(`${partition} with ${back} events is back.`)
  })
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
