/** What the gauges of a store say in which there is nothing, for metrics without a store. */
import type { GaugeOptions, StoreGauges } from '../../src/observe/gauges.js'

export const emptyStore: StoreGauges = { totalEvents: 0, largestUsers: [], snapshots: 0, storageBytes: 0 }

export const emptyGauges = {
  topAggregates: 10,
  ready: async () => true,
  storeGauges: async () => emptyStore,
  subscriptionGauges: async () => [],
  projectionGauges: async () => [],
  archiveGauges: async () => ({
    events: { hot: 0, cold: 0, offline: 0 },
    bytes: { hot: 0, cold: 0 },
    lastRun: null
  })
} satisfies Partial<GaugeOptions>
