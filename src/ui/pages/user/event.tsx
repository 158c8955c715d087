/** One event of a user: what is known of it, as it was stored and as it is shown, and what it changed. */
import { ChevronLeft, ChevronRight, MapPinOff } from 'lucide'
import { ApiError } from '../../api/api-error.js'
import { type AnswerOf, answerOf, type Event } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { type Loaded, useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { ButtonLink } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { ErrorBox } from '../../components/error-box.js'
import { Icon } from '../../components/icon.js'
import { CopyButton, JsonView } from '../../components/json-view.js'
import { eventPath, userPath } from '../user-id.js'
import { EventChanges } from './event-changes.js'
import { EventData } from './event-data.js'
import { EventFacts } from './event-facts.js'
import { wordsOf } from './event-words.js'
import { useUser } from './use-user.js'
import { UserPage } from './user-page.js'

type EventList = AnswerOf<'/users/{userId}/events'>

/** Versions before and after the event among which is looked for what has to do with it. */
const NEAR = 25

type Found = { stored: Event; shown: Event }

/** `version` as it stands in the address. */
export function EventPage({ userId, version: text }: { userId: string; version: string }) {
  const { api, can } = useSession()
  const version = /^[1-9]\d{0,9}$/.test(text) ? Number(text) : null
  const read = (upcast: boolean, signal: AbortSignal) =>
    answerOf<Event>(
      api.GET('/users/{userId}/events/{version}', {
        params: { path: { userId, version: version! }, query: { upcast, includeSource: true } },
        signal
      })
    )
  const known = version !== null && can(['events:read'])
  const found = useLoaded(known ? `${userId} ${version}` : null, async (signal): Promise<Found> => {
    const [stored, shown] = await Promise.all([read(false, signal), read(true, signal)])
    return { stored, shown }
  })
  const user = useUser(userId, found.loading)
  return (
    <UserPage userId={userId} user={user.data} view="Timeline" shows={`Event ${text}`}>
      <Allowed scopes={['events:read']} what="read events">
        {version === null ? (
          <Empty icon={MapPinOff} title="No event is at this address.">
            <p>The address of an event ends with its version, a whole number from 1.</p>
            <ButtonLink href={userPath(userId)}>To the timeline</ButtonLink>
          </Empty>
        ) : (
          <EventDetail userId={userId} version={version} found={found} />
        )}
      </Allowed>
    </UserPage>
  )
}

function EventDetail({ userId, version, found }: { userId: string; version: number; found: Loaded<Found> }) {
  const { api } = useSession()
  const near = useLoaded(found.data ? `${userId} ${version}` : null, (signal) =>
    answerOf<EventList>(
      api.GET('/users/{userId}/events', {
        params: {
          path: { userId },
          query: { fromVersion: Math.max(1, version - NEAR), toVersion: version + NEAR, limit: 2 * NEAR + 1 }
        },
        signal
      })
    )
  )
  // The version before may be as far beyond the newest.
  const missing = found.error instanceof ApiError && found.error.status === 404
  return (
    <>
      {!missing && (
        <nav class="actions" aria-label="Events beside this one">
          {version > 1 && (
            <ButtonLink href={eventPath(userId, version - 1)}>
              <Icon of={ChevronLeft} /> Version {version - 1}
            </ButtonLink>
          )}
          {found.error === undefined && !(near.data && version >= near.data.version) && (
            <ButtonLink href={eventPath(userId, version + 1)}>
              Version {version + 1} <Icon of={ChevronRight} />
            </ButtonLink>
          )}
        </nav>
      )}
      <Answer of={found} what="the event">
        {({ stored, shown }) => (
          <>
            <Card
              title={wordsOf(shown)}
              actions={
                <CopyButton text={JSON.stringify(shown, null, 2)} what="the event">
                  Copy as JSON
                </CopyButton>
              }
            >
              <EventFacts
                userId={userId}
                event={shown}
                storedVersion={stored.schemaVersion}
                near={near.data?.events ?? []}
              />
              {near.error !== undefined && <ErrorBox error={near.error} onRetry={near.reload} />}
            </Card>
            <EventData stored={stored} shown={shown} />
            <Card title="Metadata">
              {shown.metadata ? <JsonView value={shown.metadata} label="the metadata" /> : <p>There are none.</p>}
            </Card>
            <EventChanges userId={userId} version={version} />
          </>
        )}
      </Answer>
    </>
  )
}
