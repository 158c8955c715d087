/** What a user was at any version: a slider over the history, what each event changed, two versions compared, and the snapshots. */
import { ChevronLeft, ChevronRight, GitCompareArrows, Pause, Play } from 'lucide'
import { useEffect, useRef, useState } from 'preact/hooks'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Allowed } from '../../components/allowed.js'
import { Answer } from '../../components/answer.js'
import { Badge } from '../../components/badge.js'
import { Button } from '../../components/button.js'
import { Card } from '../../components/card.js'
import { Icon } from '../../components/icon.js'
import { JsonView } from '../../components/json-view.js'
import { RelativeTime } from '../../components/relative-time.js'
import { useQuery } from '../../shell/use-query.js'
import { useUser } from '../user/use-user.js'
import { UserPage } from '../user/user-page.js'
import { eventPath } from '../user-id.js'
import { Compare } from './compare.js'
import { MomentField } from './moment-field.js'
import { createMomentReader, type Moment, type MomentReader } from './moment-reader.js'
import { differing, rowsOf } from './rows.js'
import { type SnapshotList, Snapshots } from './snapshots.js'
import { StateTable } from './state-table.js'
import { Track } from './track.js'

/** Time that a version is shown while it plays, ms. */
const PLAY_MS = 700

export function TimeMachinePage({ userId }: { userId: string }) {
  const user = useUser(userId)
  return (
    <UserPage userId={userId} user={user.data} view="Time machine">
      <Allowed scopes={['state:read']} what="read states">
        <Answer of={user} what="the user">
          {({ version }) => <History key={userId} userId={userId} head={version} />}
        </Answer>
      </Allowed>
    </UserPage>
  )
}

/** `head` is the newest version. */
function History({ userId, head }: { userId: string; head: number }) {
  const { api } = useSession()
  const [query, change] = useQuery()
  const version = versionIn(query.get('version'), head) ?? head
  const pair = pairIn(query.get('compare'), head)
  const go = (to: number) => change({ version: String(to) })
  const moment = useMoment(userId, version)
  const snapshots = useLoaded(userId, (signal) =>
    answerOf<SnapshotList>(api.GET('/users/{userId}/snapshots', { params: { path: { userId } }, signal }))
  )
  return (
    <>
      <Card>
        <Slider version={version} head={head} onVersion={go} ticks={snapshots.data?.snapshots ?? []} />
        <div class="versions">
          <MomentField userId={userId} onVersion={go} />
          <Button onClick={() => change({ compare: pair ? null : `${Math.max(1, version - 1)}..${version}` })}>
            <Icon of={GitCompareArrows} /> {pair ? 'Close the comparison' : 'Compare two versions'}
          </Button>
        </div>
      </Card>
      {pair && (
        <Compare userId={userId} head={head} pair={pair} onPair={(chosen) => change({ compare: chosen.join('..') })} />
      )}
      <Answer of={moment} what="the state">
        {(moment) => <Shown moment={moment} />}
      </Answer>
      <Snapshots userId={userId} loaded={snapshots} onVersion={go} />
    </>
  )
}

function Shown({ moment: { at, before, event } }: { moment: Moment }) {
  const rows = rowsOf(at.state)
  const old = before ? rowsOf(before.state) : undefined
  const changed = differing(old, rows)
  return (
    <Card
      title={
        <>
          Version {at.version}{' '}
          {event && (
            <a href={eventPath(at.userId, at.version)}>
              <Badge tone="info">{event.eventType}</Badge>
            </a>
          )}
        </>
      }
    >
      <p>
        As of <RelativeTime at={at.asOf} exact />
      </p>
      <StateTable rows={rows} old={old} changed={changed} />
      {event && (
        <details class="made-by">
          <summary>The event that made it so</summary>
          <JsonView value={event} label="Event" />
        </details>
      )}
    </Card>
  )
}

/** Steps, plays, and slides. Arrow keys step wherever nothing is typed. */
function Slider({
  version,
  head,
  onVersion,
  ticks
}: {
  version: number
  head: number
  onVersion: (version: number) => void
  ticks: readonly { version: number; usable: boolean }[]
}) {
  const [playing, setPlaying] = useState(false)
  const latest = useRef({ version, onVersion })
  latest.current = { version, onVersion }
  const step = (by: number) => {
    const to = latest.current.version + by
    if (to >= 1 && to <= head) latest.current.onVersion(to)
  }

  useEffect(() => {
    if (!playing) return
    const timer = setInterval(() => {
      if (latest.current.version >= head) setPlaying(false)
      else step(1)
    }, PLAY_MS)
    return () => clearInterval(timer)
  }, [playing, head])
  useEffect(() => {
    const key = ({ key, target }: KeyboardEvent) => {
      if (target instanceof HTMLElement && target.closest('input, textarea, select, dialog, [tabindex="0"]')) return
      if (key === 'ArrowLeft') step(-1)
      if (key === 'ArrowRight') step(1)
    }
    document.addEventListener('keydown', key)
    return () => document.removeEventListener('keydown', key)
  }, [head])

  function play(): void {
    if (version === head) onVersion(1)
    setPlaying(!playing)
  }
  return (
    <div class="slider">
      <div class="actions">
        <Button onClick={() => step(-1)} disabled={version === 1} aria-label="Version before">
          <Icon of={ChevronLeft} />
        </Button>
        <Button onClick={play} disabled={head === 1} aria-label={playing ? 'Pause' : 'Play'}>
          <Icon of={playing ? Pause : Play} />
        </Button>
        <Button onClick={() => step(1)} disabled={version === head} aria-label="Next version">
          <Icon of={ChevronRight} />
        </Button>
        <span class="slider-place" role="status">
          Version {version} of {head}
        </span>
      </div>
      <Track
        version={version}
        head={head}
        ticks={ticks}
        onVersion={(to) => {
          setPlaying(false)
          onVersion(to)
        }}
      />
    </div>
  )
}

/** What there was at `version`; until it is known, what was shown before. */
function useMoment(userId: string, version: number) {
  const { api, can } = useSession()
  const [shown, setShown] = useState<{ data?: Moment; error?: unknown }>({})
  const reader = useRef<MomentReader | null>(null)
  const withEvents = can(['events:read'])
  useEffect(() => {
    const made = createMomentReader({
      api,
      userId,
      withEvents,
      onMoment: (data) => setShown({ data }),
      onError: (error) => setShown({ error })
    })
    reader.current = made
    return made.stop
  }, [api, userId, withEvents])
  useEffect(() => reader.current?.want(version), [version, api, userId, withEvents])
  return { data: shown.data, error: shown.error, reload: () => reader.current?.want(version) }
}

function versionIn(text: string | null, head: number): number | null {
  const version = Number(text ?? Number.NaN)
  return Number.isInteger(version) && version >= 1 && version <= head ? version : null
}

/** `3..7`; null if that is not it. */
function pairIn(text: string | null, head: number): readonly [number, number] | null {
  const [one, other] = (text ?? '').split('..').map((part) => versionIn(part === '' ? null : part, head))
  return one && other ? [one, other] : null
}
