/**
 * The same HTTP application with services that do nothing: what Fastify, the schemas and the metrics cost by themselves.
 * Prints its address. Answers are as large as real ones.
 */
import { Registry } from 'prom-client'
import { buildApp, type Services } from '../../src/app.js'
import { loadConfig } from '../../src/config.js'

const id = '5b2f3c9e-8d0a-4f6e-9a57-2f4f1c0f7a11'
const createdAt = '2026-11-22T08:00:00.000Z'
const appended = {
  version: 1,
  duplicate: false,
  events: [{ id, version: 1, position: 1, schemaVersion: 1, createdAt }]
}
const state = {
  userId: id,
  version: 2,
  asOf: createdAt,
  state: {
    id,
    tenantId: '00000000-0000-0000-0000-000000000000',
    status: 'active',
    username: 'user',
    email: 'user@example.com',
    fullName: 'Ada Lovelace',
    phone: null,
    avatar: null,
    roleIds: [],
    attributes: { theme: 'dark', language: 'en' },
    loginAttempts: 0,
    lockedUntil: null,
    lockReason: null,
    totalLogins: 0,
    lastLoginAt: null,
    lastLoginIp: null,
    passwordChangedAt: null,
    createdAt,
    updatedAt: createdAt,
    deletedAt: null
  },
  replay: { source: 'cache', snapshotVersion: null, eventsApplied: 0 }
}

const services = {
  events: { append: async () => appended },
  replay: { stateAt: async () => state },
  snapshots: {},
  statistics: {},
  health: {}
} as unknown as Services

const config = loadConfig({})
const app = await buildApp({
  services,
  fingerprintOf: () => '0123456789ab',
  register: new Registry(),
  bodyBytesMax: config.BODY_BYTES_MAX,
  requestTimeoutMs: config.REQUEST_TIMEOUT_MS,
  streams: { max: 1, perClientMax: 1 },
  logger: false
})
console.log(await app.listen({ host: '127.0.0.1', port: 0 }))
