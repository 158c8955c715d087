/** What happened to a user, the newest first. */
import { ListFilter } from 'lucide'
import { useEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded, usePages } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Empty } from '../../components/empty.js'
import { ErrorBox } from '../../components/error-box.js'
import { Chips } from '../../components/field.js'
import { More } from '../../components/more.js'
import { useQuery } from '../../shell/use-query.js'
import type { SnapshotList } from '../time-machine/snapshots.js'
import { timePath } from '../user-id.js'
import { TimelineEvent } from './timeline-event.js'
import { useUser } from './use-user.js'
import { UserPage } from './user-page.js'

type EventPage = AnswerOf<'/users/{userId}/events'>
type Snapshot = SnapshotList['snapshots'][number]
type Catalog = AnswerOf<'/event-types'>

const PAGE = 50

export function TimelinePage({ userId }: { userId: string }) {
  const { route } = useLocation()
  const [query] = useQuery()
  const { can } = useSession()
  const [opened, setOpened] = useState(false)
  const user = useUser(userId, can(['events:read']) && !opened)
  // The time machine was here: links to a version of it are still about.
  const moved = query.has('version') || query.has('compare') ? `${timePath(userId)}?${query}` : null
  useEffect(() => {
    if (moved !== null) route(moved, true)
  }, [moved, route])
  if (moved !== null) return null
  return (
    <UserPage userId={userId} user={user.data} view="Timeline">
      <Allowed scopes={['events:read']} what="read events">
        <Timeline key={userId} userId={userId} onOpened={() => setOpened(true)} />
      </Allowed>
    </UserPage>
  )
}

/** `onOpened` is called when the first events are there, or did not come. */
function Timeline({ userId, onOpened }: { userId: string; onOpened: () => void }) {
  const { api, can } = useSession()
  const [query, change] = useQuery()
  const types = query.getAll('type')
  const path = { userId }
  const found = usePages(
    JSON.stringify([userId, types]),
    (cursor, signal) =>
      answerOf<EventPage>(
        api.GET('/users/{userId}/events', {
          params: {
            path,
            query: {
              direction: 'backward',
              limit: PAGE,
              includeSource: true,
              ...(types.length > 0 && { eventType: types }),
              ...(cursor !== undefined && { cursor })
            }
          },
          signal
        })
      ),
    ({ events }) => events
  )
  const shown = found.items.length > 0
  const opened = useRef(onOpened)
  opened.current = onOpened
  useEffect(() => {
    if (!found.loading) opened.current()
  }, [found.loading])
  const snapshots = useLoaded(shown && can(['state:read']) ? userId : null, (signal) =>
    answerOf<SnapshotList>(api.GET('/users/{userId}/snapshots', { params: { path }, signal }))
  )
  const catalog = useLoaded('event types', (signal) => answerOf<Catalog>(api.GET('/event-types', { signal })))
  const failed = [catalog, snapshots].find(({ error }) => error !== undefined)
  // What the address names can be taken back, whether or not there is such a type.
  const choices = new Set([...(catalog.data?.eventTypes.map(({ eventType }) => eventType) ?? []), ...types])
  const ofVersion = new Map<number, Snapshot[]>()
  for (const snapshot of snapshots.data?.snapshots ?? [])
    ofVersion.set(snapshot.version, [...(ofVersion.get(snapshot.version) ?? []), snapshot])
  return (
    <>
      <search class="filters">
        <Chips
          legend="Types"
          choices={[...choices].map((type) => ({ value: type, label: type }))}
          chosen={types}
          onChange={(type) => change({ type })}
        />
      </search>
      {shown && failed && <ErrorBox error={failed.error} onRetry={failed.reload} />}
      <Card flush>
        {shown && (
          <ol class="timeline">
            {found.items.map((event) => (
              <TimelineEvent
                key={event.version}
                userId={userId}
                event={event}
                snapshots={ofVersion.get(event.version) ?? []}
              />
            ))}
          </ol>
        )}
        {!shown && !found.loading && found.error === undefined && (
          <Empty icon={ListFilter} title="Nothing of this kind happened to the user.">
            <p>Choose other types of events, or all.</p>
            <Button onClick={() => change({ type: null })}>Show all events</Button>
          </Empty>
        )}
        <More pages={found} what="events" />
      </Card>
    </>
  )
}
