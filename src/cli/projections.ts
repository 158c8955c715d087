/** `user-events projections …`: the read models, which can always be made anew. */
import { setTimeout as pause } from 'node:timers/promises'
import type { Command } from 'commander'
import type { ParkedUser, ProjectionView } from '../services/projections.js'
import type { Cli } from './cli.js'
import { type Client, pathOf } from './client.js'
import type { Output } from './output.js'

const POLL_MS = 500
const PARKED_SHOWN = 1000

export function addProjections(program: Command, cli: Cli): void {
  const projections = program.command('projections').description('the read models that are made of the events')
  projections
    .command('status')
    .description('how far each is, its rebuild, and how many users it put aside')
    .action(
      cli.asking(async (client, { output }) => {
        const { projections: found } = await client.ask<{ projections: ProjectionView[] }>('GET', '/admin/projections')
        const rows = found.map(({ name, version, servedVersion, position, lagEvents, parkedUsers, rebuild }) => ({
          name,
          version,
          serves: servedVersion,
          position,
          lag: lagEvents,
          'users put aside': parkedUsers,
          rebuild: rebuild
            ? `${rebuild.stage}, ${rebuild.eventsDone} events, ${rebuild.eventsPerSecond} a second`
            : 'no'
        }))
        await output.print(found, () => output.listed(rows, 'There are none.'))
      })
    )
  projections
    .command('parked')
    .description('the users a projection put aside, with the reason')
    .argument('<name>', 'such as users')
    .action(
      cli.asking(async (client, { args: [name = ''], output }) => {
        const query = { limit: PARKED_SHOWN }
        const { users } = await client.ask<{ users: ParkedUser[] }>('GET', pathOf`/admin/projections/${name}/parked`, {
          query
        })
        const rows = users.map(({ userId, version, since, error }) => ({ user: userId, version, since, error }))
        await output.print(users, () => output.listed(rows, 'It put nobody aside.'))
      })
    )
  projections
    .command('rebuild')
    .description('fill new tables from the log while the old ones serve; the service does it in the background')
    .argument('<name>', 'such as users')
    .option('--wait', 'until it is done')
    .action(
      cli.asking<{ wait?: true }>(async (client, { args: [name = ''], options: { wait }, output }) => {
        const begun = await client.ask<ProjectionView>('POST', pathOf`/admin/projections/${name}/rebuild`)
        if (wait) await waitForRebuild(client, begun, output)
        else await output.print(begun, () => `The rebuild of ${name} is under way: user-events projections status.`)
      })
    )
}

async function waitForRebuild(client: Client, begun: ProjectionView, output: Output): Promise<void> {
  const { name, head } = begun
  output.note('A running service does it; without one it waits.')
  const progress = output.progress('events applied', head)
  let done = 0
  for (;;) {
    const view = await client.ask<ProjectionView>('GET', pathOf`/admin/projections/${name}`)
    if (view.rebuild === null && view.filledAt !== begun.filledAt) {
      progress.add(Math.max(0, head - done))
      progress.end()
      return await output.print(view, () => `${name} was rebuilt.`)
    }
    const now = view.rebuild?.eventsDone ?? 0
    progress.add(Math.max(0, now - done))
    done = Math.max(done, now)
    await pause(POLL_MS)
  }
}
