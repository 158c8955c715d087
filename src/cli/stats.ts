/** `user-events stats`: what a store holds. */
import type { Command } from 'commander'
import type { EventStatistics, SnapshotStatistics } from '../store/statistics.js'
import type { Cli } from './cli.js'

export function addStats(program: Command, cli: Cli): void {
  program
    .command('stats')
    .description('how many events, users and snapshots there are')
    .action(
      cli.asking(async (client, { output }) => {
        const events = await client.ask<EventStatistics>('GET', '/stats/events')
        const snapshots = await client.ask<SnapshotStatistics>('GET', '/stats/snapshots', { query: { limit: 10 } })
        await output.print({ events, snapshots }, () => {
          const types = Object.entries(events.eventsByType).sort(([, a], [, b]) => b - a)
          const sizes = `${(events.storageBytes / 2 ** 20).toFixed(1)} MiB`
          return [
            `${events.totalEvents} events of ${events.totalUsers} users, ${sizes} on disk; the oldest of ${events.oldestEvent ?? '-'}, the newest of ${events.newestEvent ?? '-'}.`,
            `${snapshots.totalSnapshots} snapshots of ${Math.round(snapshots.averageSnapshotSize)} bytes on average.`,
            output.listed(
              types.map(([type, count]) => ({ type, events: count })),
              'There are no events yet.'
            )
          ].join('\n')
        })
      })
    )
}
