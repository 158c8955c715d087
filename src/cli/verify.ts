/** `user-events verify`: whether what is stored, kept and shown is what the events say. */
import { type Command, Option } from 'commander'
import type { Db } from '../db/client.js'
import { userNotFound } from '../domain/errors.js'
import { DEFAULT_TENANT } from '../domain/event.js'
import { FINDINGS, type Finding, type FindingKind } from '../domain/inspection.js'
import { usersProjection } from '../domain/projections/users.js'
import { createEventTypeService } from '../services/event-types.js'
import type { Verification } from '../services/verify.js'
import { createStoreVerifier, type Looked, type StoreVerifier } from '../services/verify-store.js'
import { selectIdentity } from '../store/identity.js'
import { type Cli, type Given, uuidOf, wholeOf } from './cli.js'
import { pathOf } from './client.js'
import { Finding as Found, UsageError } from './exit-codes.js'
import type { Output } from './output.js'
import { openVerifyState, type VerifyState } from './verify-state.js'

const PARALLEL = 4
const PARALLEL_MAX = 32
/** Ranges of a bucket: each is a step that is noted when it is done. */
const RANGES = 64

type VerifyOptions = { all?: true; parallel: number; state?: string }

export function addVerify(program: Command, cli: Cli): void {
  const onDatabase = cli.onDatabase<VerifyOptions>(verifyHere, { poolMax: PARALLEL_MAX })
  const atService = cli.asking<VerifyOptions>(async (client, { args: [userId = ''], output }) => {
    const found = await client.ask<Verification>('POST', pathOf`/admin/users/${userId}/verify`)
    await report({ users: 1, events: found.version }, findingsOf(found), output)
  })
  program
    .command('verify')
    .description(
      'fold all events of a user, or with --all of everybody, and compare snapshots, directory, counts, versions and positions'
    )
    .argument('[userId]', 'id of the user', uuidOf)
    .option('--all', 'everything; on the database only, also while the service runs')
    .addOption(
      new Option('--parallel <n>', 'parts that are looked at at once')
        .argParser(wholeOf(1, PARALLEL_MAX))
        .default(PARALLEL)
    )
    .option('--state <file>', 'note here what is done, and go on from there if the file exists')
    .action(async (...params: unknown[]) => {
      const [userId, { all, state }, command] = params as [string | undefined, VerifyOptions, Command]
      if ((userId === undefined) !== (all === true)) throw new UsageError('Name a user, or say --all.')
      if (state !== undefined && !all) throw new UsageError('--state is for --all: a user is done in one go.')
      await (!all && cli.isAtService(command) ? atService : onDatabase)(...params)
    })
}

async function verifyHere(db: Db, { args: [userId], options, output }: Given<VerifyOptions>): Promise<void> {
  const eventTypes = createEventTypeService({ db, onPatchFailed: () => {} })
  await eventTypes.refresh()
  const identity = await selectIdentity(db)
  const buckets = identity?.buckets ?? 1
  const verifier = createStoreVerifier({ db, eventTypes, projection: usersProjection, buckets })
  if (userId === undefined) await verifyAll(verifier, identity?.id ?? '', options, output)
  else await verifyUser(verifier, userId, options.tenant ?? DEFAULT_TENANT, output)
}

async function verifyUser(verifier: StoreVerifier, userId: string, tenant: string, output: Output): Promise<void> {
  const owner = await verifier.tenantOf(userId)
  if (owner !== null && owner !== tenant) throw userNotFound(userId)
  const { findings, events, offline } = await verifier.user(userId)
  if (events === 0 && findings.length === 0) throw userNotFound(userId)
  await report({ users: 1, events, offlineUsers: offline ? 1 : 0 }, findings, output)
}

async function verifyAll(
  verifier: StoreVerifier,
  storeId: string,
  { parallel, state: file }: VerifyOptions,
  output: Output
): Promise<void> {
  const state = await openVerifyState(file, storeId, () => verifier.tasks(RANGES))
  const progress = output.progress('events checked', await verifier.countEvents())
  progress.add(state.looked().events)
  await runTasks(verifier, state, parallel, progress.add)
  progress.end()
  const events = state.findings()
  // A log that is not right gives other counts: that is no finding of its own.
  const counts = events.some(({ kind }) => OF_THE_LOG.includes(kind))
    ? []
    : await verifier.counts({ directoryIsRight: !events.some(({ kind }) => kind.startsWith('READ_MODEL')) })
  if (!(await verifier.isDirectoryCurrent()))
    output.note(
      'The directory was not compared: it is not filled under the rules of now yet (user-events projections status).'
    )
  await state.end()
  await report(state.looked(), [...events, ...counts], output, state.more())
}

async function runTasks(
  verifier: StoreVerifier,
  state: VerifyState,
  parallel: number,
  onEvents: (count: number) => void
): Promise<void> {
  const left = [...state.left()]
  let failed = false
  async function work(): Promise<void> {
    for (let task = left.shift(); task && !failed; task = left.shift()) {
      try {
        await state.note(task, await verifier.run(task, onEvents))
      } catch (err) {
        failed = true
        throw err
      }
    }
  }
  const workers = await Promise.allSettled(Array.from({ length: parallel }, work))
  for (const worker of workers) if (worker.status === 'rejected') throw worker.reason
}

/** Damage that changes how many events there are, or of which type. */
const OF_THE_LOG: readonly FindingKind[] = [
  'VERSION_MISSING',
  'EVENT_UNKNOWN',
  'EVENT_ORDER',
  'EVENT_BUCKET',
  'EVENT_TENANT',
  'LIFE_CYCLE',
  'POSITION_MISSING',
  'LOG_SHORT'
]

/** Prints the verdict. Throws Found unless it is good. */
async function report(looked: Partial<Looked>, findings: readonly Finding[], output: Output, more = 0): Promise<void> {
  const correct = findings.length === 0
  await output.print({ correct, looked, findings, more }, () => {
    const { users = 0, events = 0, offlineUsers = 0 } = looked
    const rows = findings.map(({ kind, userId, version, position, detail }) => ({
      finding: kind,
      user: userId,
      version,
      position,
      detail
    }))
    const kinds = [...new Set(findings.map(({ kind }) => kind))]
    return [
      ...(correct ? [] : [output.listed(rows, ''), '', ...kinds.map((kind) => `${kind}: ${FINDINGS[kind]}`)]),
      correct
        ? output.styled('green', `All is right: ${events} events of ${users} users.`)
        : output.styled('red', `${findings.length + more} findings in ${events} events of ${users} users.`),
      ...(offlineUsers > 0
        ? [`Of ${offlineUsers} users the state was not compared: events of theirs are in partitions that are offline.`]
        : [])
    ].join('\n')
  })
  if (!correct) throw new Found()
}

/** What the service finds of a user, in the same words. */
function findingsOf({ userId, served, snapshots }: Verification): Finding[] {
  const about = { bucket: 0, userId, tenantId: null, position: null }
  const placesOf = (operations: readonly { path: string }[]) =>
    operations.map(({ path }) => path || 'its root').join(', ')
  const wrong = snapshots.filter(({ correct }) => !correct)
  return [
    ...wrong.map(
      ({ version, operations }): Finding => ({
        ...about,
        kind: 'SNAPSHOT_DIFFERS',
        version,
        detail: `It should be different at ${placesOf(operations)}.`
      })
    ),
    ...(served.correct || wrong.length > 0
      ? []
      : [
          {
            ...about,
            kind: 'STATE_DIFFERS' as const,
            version: served.version,
            detail: `What is served should be different at ${placesOf(served.operations)}.`
          }
        ])
  ]
}
