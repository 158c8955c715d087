#!/usr/bin/env node
/** The command line: `user-events --help`. */
import { EXIT } from './exit-codes.js'
import { run } from './run.js'

// Whoever reads the output may have seen enough, as `head` does.
process.stdout.on('error', (err: NodeJS.ErrnoException) => {
  if (err.code !== 'EPIPE') throw err
  process.exit(EXIT.done)
})

function onInterrupt(): AbortSignal {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  return controller.signal
}

const { stdin, stdout, stderr } = process
process.exitCode = await run(process.env, process.argv.slice(2), { stdin, stdout, stderr, onInterrupt })
