/** The tree of commands: groups stand in files of their own. */
import { Command } from 'commander'
import { addArchive } from './archive.js'
import { createCli, globalOptions } from './cli.js'
import { addCompletion } from './completion.js'
import { addDoctor } from './doctor.js'
import { EXIT, EXIT_MEANINGS } from './exit-codes.js'
import { addKeys } from './key.js'
import { addMigrate } from './migrate.js'
import { addOutbox } from './outbox.js'
import type { Io } from './output.js'
import { addProjections } from './projections.js'
import { addServe } from './serve.js'
import { addSnapshots } from './snapshots.js'
import { addStats } from './stats.js'
import { addTail } from './tail.js'
import { addTransfer } from './transfer.js'
import { addTypes } from './types.js'
import { addUserCommands } from './user.js'
import { addVerify } from './verify.js'

const WHERE = `
They work on the database of DATABASE_URL, or without it on the embedded one in DATA_DIR (./data), also while the service
runs; with --url they ask a running service.
`

/** All commands; nothing runs before it is told what was typed. */
export function createProgram(env: Record<string, string | undefined>, io: Io): Command {
  const cli = createCli(env, io)
  const program = new Command('user-events')
    .description('Tools for a user-event-store.')
    .exitOverride()
    .configureOutput({ writeOut: (text) => io.stdout.write(text), writeErr: (text) => io.stderr.write(text) })
    .showSuggestionAfterError()
    .configureHelp({ showGlobalOptions: true })
    .addHelpText('after', () => `${WHERE}\nExit codes:\n${exitCodes()}`)
  for (const option of globalOptions()) program.addOption(option)
  addServe(program, cli)
  addMigrate(program, cli)
  addDoctor(program, cli)
  addUserCommands(program, cli)
  addStats(program, cli)
  addVerify(program, cli)
  addTail(program, cli)
  addTransfer(program, cli)
  addKeys(program, cli)
  addSnapshots(program, cli)
  addOutbox(program, cli)
  addProjections(program, cli)
  addTypes(program, cli)
  addArchive(program, cli)
  addCompletion(program, cli)
  return program
}

const exitCodes = (): string =>
  Object.entries(EXIT)
    .map(([name, code]) => `  ${code}  ${EXIT_MEANINGS[name as keyof typeof EXIT]}`)
    .join('\n')
