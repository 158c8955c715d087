/**
 * The files of a partition that is kept outside of the database: <partition>.ndjson.gz, a line for each event, and
 * <partition>.manifest.json, which says what must be in it. The manifest is written last: without it there is no export.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { createReadStream, createWriteStream } from 'node:fs'
import { mkdir, open, readFile, rename } from 'node:fs/promises'
import { join } from 'node:path'
import { finished } from 'node:stream/promises'
import { createGunzip, createGzip } from 'node:zlib'
import { createLineCutter, type LineBlock } from '../domain/lines.js'

export type Manifest = {
  format: 1
  partition: string
  writtenAt: string
  events: number
  /** of the file with the events */
  bytes: number
  sha256: string
  buckets: { bucket: number; events: number; firstPosition: number; lastPosition: number }[]
  /** the schema versions that stand in it, by type */
  schemaVersions: Record<string, number[]>
}

type Line = { line: string; bucket: number; position: number; eventType: string; schemaVersion: number }

/** Writes both files into `folder`, which is made if it is missing. Whatever was there under these names is replaced when all is on disk. */
export async function writePartition(
  folder: string,
  partition: string,
  pages: AsyncIterable<Line[]>,
  onLines: (count: number) => void
): Promise<Manifest> {
  await mkdir(folder, { recursive: true })
  const file = join(folder, `${partition}.ndjson.gz`)
  const summary = createSummary()
  const gzip = createGzip()
  const written = createWriteStream(`${file}.part`)
  const done = finished(gzip.pipe(written))
  for await (const page of pages) {
    for (const line of page) summary.add(line)
    if (!gzip.write(page.map(({ line }) => `${line}\n`).join(''))) await Promise.race([once(gzip, 'drain'), done])
    onLines(page.length)
  }
  gzip.end()
  await done
  await commit(`${file}.part`, file)
  const manifest: Manifest = {
    format: 1,
    partition,
    writtenAt: new Date().toISOString(),
    ...summary.result(),
    ...(await digest(file))
  }
  const path = manifestOf(folder, partition)
  const draft = await open(`${path}.part`, 'w')
  await draft.writeFile(`${JSON.stringify(manifest, null, 2)}\n`)
  await draft.close()
  await commit(`${path}.part`, path)
  return manifest
}

/** The manifest of an export. Throws when there is none. */
export async function readManifest(folder: string, partition: string): Promise<Manifest> {
  const path = manifestOf(folder, partition)
  const text = await readFile(path, 'utf8').catch((cause: Error) => {
    throw new Error(`There is no export of ${partition} in ${folder}: ${path} cannot be read.`, { cause })
  })
  return JSON.parse(text) as Manifest
}

/** Reads the file with the events against its manifest, as it was written. Throws, naming what differs, if it is not that. */
export async function checkPartition(folder: string, partition: string): Promise<Manifest> {
  const manifest = await readManifest(folder, partition)
  const { bytes, sha256 } = await digest(join(folder, `${partition}.ndjson.gz`))
  if (sha256 !== manifest.sha256)
    throw new Error(
      `${partition}.ndjson.gz is damaged: it has ${bytes} bytes and the SHA-256 ${sha256}, where the manifest says ${manifest.bytes} and ${manifest.sha256}. Take another copy of it.`
    )
  let events = 0
  for await (const page of readLines(folder, partition)) events += page.length
  if (events !== manifest.events)
    throw new Error(`${partition}.ndjson.gz has ${events} events where its manifest says ${manifest.events}.`)
  return manifest
}

/** The lines of the events, some at a time. Throws for what are no lines of text. */
export async function* readLines(folder: string, partition: string): AsyncGenerator<string[]> {
  const cutter = createLineCutter(LINE_BYTES_MAX)
  const linesOf = ({ lines, fault }: LineBlock): string[] => {
    if (fault !== null) throw new Error(`${partition}.ndjson.gz cannot be read: ${fault}`)
    return lines
  }
  for await (const chunk of createReadStream(join(folder, `${partition}.ndjson.gz`)).pipe(createGunzip())) {
    const lines = linesOf(cutter.take(chunk))
    if (lines.length > 0) yield lines
  }
  const last = linesOf(cutter.end())
  if (last.length > 0) yield last
}

/** Above the largest event there can be. */
const LINE_BYTES_MAX = 16 * 2 ** 20

const manifestOf = (folder: string, partition: string): string => join(folder, `${partition}.manifest.json`)

/** Gives a file its name once all of it is on the disk. */
async function commit(draft: string, path: string): Promise<void> {
  const file = await open(draft, 'r+')
  await file.sync()
  await file.close()
  await rename(draft, path)
}

async function digest(path: string): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const chunk of createReadStream(path)) {
    hash.update(chunk)
    bytes += chunk.length
  }
  return { bytes, sha256: hash.digest('hex') }
}

/** What the manifest says of the lines. */
function createSummary() {
  let events = 0
  const buckets = new Map<number, Manifest['buckets'][number]>()
  const versions = new Map<string, Set<number>>()
  return {
    add({ bucket, position, eventType, schemaVersion }: Line): void {
      events++
      const place = buckets.get(bucket)
      if (place) {
        place.events++
        place.lastPosition = position
      } else buckets.set(bucket, { bucket, events: 1, firstPosition: position, lastPosition: position })
      versions.set(eventType, (versions.get(eventType) ?? new Set()).add(schemaVersion))
    },
    result: (): Pick<Manifest, 'events' | 'buckets' | 'schemaVersions'> => ({
      events,
      buckets: [...buckets.values()],
      schemaVersions: Object.fromEntries([...versions].map(([type, found]) => [type, [...found].sort((a, b) => a - b)]))
    })
  }
}
