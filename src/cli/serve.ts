/** `user-events serve`: the service, as `npm start` runs it. */
import type { Command } from 'commander'
import type { Cli } from './cli.js'

export function addServe(program: Command, cli: Cli): void {
  program
    .command('serve')
    .description('run the service, with the settings of the environment, until SIGTERM or Ctrl-C')
    .action(
      cli.here(async (env) => {
        const { serve } = await import('../serve.js')
        await serve(env)
      })
    )
}
