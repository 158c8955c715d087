/** `user-events export` and `import`: history in and out, an event a line. */
import { createReadStream, createWriteStream } from 'node:fs'
import { rename, rm, stat } from 'node:fs/promises'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { type Command, Option } from 'commander'
import type { EventStatistics } from '../store/statistics.js'
import { type Cli, type Given, many, momentOf, uuidOf } from './cli.js'
import type { Client } from './client.js'
import { UsageError } from './exit-codes.js'
import { linesOf } from './lines.js'

type ExportOptions = { out?: string; type?: string[]; user?: string; from?: string; to?: string; upcast?: true }
type Imported = { lines: number; imported: number; duplicates: number; head: number }

export function addTransfer(program: Command, cli: Cli): void {
  program
    .command('export')
    .description('write all events of a tenant, or a selection, an event a line, as import takes them')
    .option('--out <file>', 'where to; it is there when it is complete. Stdout when absent')
    .option('--type <name>', 'only events of this type; can be given several times', many)
    .addOption(new Option('--user <userId>', 'only events of this user').argParser(uuidOf))
    .addOption(new Option('--from <date-time>', 'recorded then or later').argParser(momentOf))
    .addOption(new Option('--to <date-time>', 'recorded before').argParser(momentOf))
    .option('--upcast', 'data lifted to the newest version of its schema, not as it was stored')
    .action(cli.asking<ExportOptions>(exportEvents))
  program
    .command('import')
    .description('store events with the ids, versions and times that they had; can be repeated')
    .argument('<file>', 'lines as export writes them; - for stdin')
    .action(cli.asking(importEvents))
}

async function exportEvents(client: Client, { options, output }: Given<ExportOptions>): Promise<void> {
  const { out, type, user, from, to, upcast = false } = options
  const query = { eventType: type, userId: user, from, to, upcast }
  const selects = type ?? user ?? from ?? to
  const total = selects === undefined ? (await client.ask<EventStatistics>('GET', '/stats/events')).totalEvents : null
  const answer = await client.open('GET', '/events/export', { query })
  if (out === undefined) {
    for await (const line of linesOf(answer)) await output.line(line)
    return
  }
  const part = `${out}.part`
  const progress = output.progress('events written', total)
  let events = 0
  async function* counted(): AsyncGenerator<string> {
    for await (const line of linesOf(answer)) {
      events++
      progress.add(1)
      yield `${line}\n`
    }
  }
  try {
    await pipeline(counted, createWriteStream(part))
    await rename(part, out)
  } catch (err) {
    await rm(part, { force: true })
    throw err
  }
  progress.end()
  await output.print({ file: out, events }, () => `Wrote ${events} events to ${out}.`)
}

async function importEvents(client: Client, { args: [file = ''], output, stdin }: Given<object>): Promise<void> {
  const bytes = file === '-' ? null : await sizeOf(file)
  const progress = output.progress('bytes sent', bytes)
  const source = file === '-' ? stdin : createReadStream(file)
  async function* counted(): AsyncGenerator<Buffer> {
    for await (const chunk of source as AsyncIterable<Buffer>) {
      progress.add(chunk.length)
      yield chunk
    }
  }
  const imported = await client.ask<Imported>('POST', '/events/import', {
    body: Readable.from(counted(), { objectMode: false })
  })
  progress.end()
  await output.print(imported, () => {
    const { lines, imported: stored, duplicates } = imported
    return `Read ${lines} lines: ${stored} events are stored now, ${duplicates} were before.`
  })
}

async function sizeOf(file: string): Promise<number> {
  try {
    return (await stat(file)).size
  } catch (err) {
    throw new UsageError(`${file} cannot be read (${(err as NodeJS.ErrnoException).code}).`)
  }
}
