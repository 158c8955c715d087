/** What changed between two versions of a user, as RFC 6902 JSON Patch. */
import jsonPatch, { type Operation } from 'fast-json-patch'
import type { StreamKey } from '../domain/event.js'
import type { ReplayService } from './replay.js'

export type StateDiff = { userId: string; fromVersion: number; toVersion: number; operations: Operation[] }

/**
 * Operations that turn the state at `fromVersion` into the one at `toVersion`; either may be the larger. Version 0 is
 * before the first event, where the state is null. Throws as ReplayService.stateAt does.
 */
export async function diffStates(
  replay: ReplayService,
  key: StreamKey,
  fromVersion: number,
  toVersion: number
): Promise<StateDiff> {
  const stateAt = async (version: number) => (version === 0 ? null : (await replay.stateAt(key, { version })).state)
  // From nothing to nothing needs no state, but an unknown user is unknown all the same.
  if (fromVersion === 0 && toVersion === 0) await stateAt(1)
  // The larger version first: if the user has not come that far, that is the answer, whatever the other one is.
  const newer = await stateAt(Math.max(fromVersion, toVersion))
  const older = await stateAt(Math.min(fromVersion, toVersion))
  const [from, to] = fromVersion <= toVersion ? [older, newer] : [newer, older]
  const operations: Operation[] =
    from === null || to === null
      ? from === to
        ? []
        : [{ op: 'replace', path: '', value: to }]
      : jsonPatch.compare(from, to)
  return { userId: key.userId, fromVersion, toVersion, operations }
}
