/** What is known of an event beside its data, with links to what has to do with it. */
import type { Event } from '../../api/client.js'
import { Badge } from '../../components/badge.js'
import { RelativeTime } from '../../components/relative-time.js'
import { eventPath } from '../user-id.js'
import { Actor } from './actor.js'
import { actorOf } from './event-words.js'
import { type Linked, relatedOf } from './related.js'

/** `near`: events around it, as far as they are known. */
export function EventFacts({
  userId,
  event,
  storedVersion,
  near
}: {
  userId: string
  event: Event
  /** schema version that its data were stored in */
  storedVersion: number
  near: readonly Linked[]
}) {
  const { eventType, schemaVersion, createdAt, occurredAt, id, position, archived } = event
  const actor = actorOf(event)
  const { correlationId, correlated, causationId, cause, caused } = relatedOf(event, near)
  return (
    <dl class="facts">
      <dt>Type</dt>
      <dd>
        <a href={`/ui/event-types/${encodeURIComponent(eventType)}`}>{eventType}</a>, schema version {storedVersion}
        {schemaVersion !== storedVersion && ` as stored and ${schemaVersion} as shown`}
      </dd>
      <dt>Recorded</dt>
      <dd>
        <RelativeTime at={createdAt} exact /> {archived && <Badge>archived</Badge>}
      </dd>
      {occurredAt !== null && (
        <>
          <dt>Happened</dt>
          <dd>
            <RelativeTime at={occurredAt} exact />
          </dd>
        </>
      )}
      <dt>By</dt>
      <dd>{actor === null ? 'nobody said' : <Actor of={actor} />}</dd>
      {correlationId !== null && (
        <>
          <dt>Correlation</dt>
          <dd>
            <code>{correlationId}</code>
            {correlated.length > 0 && (
              <>
                , as have <Versions userId={userId} versions={correlated} />
              </>
            )}
          </dd>
        </>
      )}
      {causationId !== null && (
        <>
          <dt>Caused by</dt>
          <dd>
            {cause !== null && (
              <>
                <Versions userId={userId} versions={[cause]} />,{' '}
              </>
            )}
            <code>{causationId}</code>
          </dd>
        </>
      )}
      {caused.length > 0 && (
        <>
          <dt>Led to</dt>
          <dd>
            <Versions userId={userId} versions={caused} />
          </dd>
        </>
      )}
      <dt>Event id</dt>
      <dd>
        <code>{id}</code>
      </dd>
      <dt>Place in the log</dt>
      <dd>{position}</dd>
    </dl>
  )
}

const Versions = ({ userId, versions }: { userId: string; versions: readonly number[] }) => (
  <>
    {versions.map((version, i) => [
      i > 0 && ', ',
      <a key={version} href={eventPath(userId, version)}>
        version {version}
      </a>
    ])}
  </>
)
