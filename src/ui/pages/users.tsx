/** Finds users by name, address, status or id. */
import { UserRoundSearch } from 'lucide'
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { useLocation } from 'preact-iso'
import { type AnswerOf, answerOf } from '../api/client.js'
import { useSession } from '../api/session.js'
import { usePages } from '../api/use-loaded.js'
import { Allowed } from '../components/allowed.js'
import { Badge, StatusBadge } from '../components/badge.js'
import { Card } from '../components/card.js'
import { Empty } from '../components/empty.js'
import { Chips, Field, Select } from '../components/field.js'
import { More } from '../components/more.js'
import { Page } from '../components/page.js'
import { RelativeTime } from '../components/relative-time.js'
import { type Column, Table } from '../components/table.js'
import { useQuery } from '../shell/use-query.js'
import { isUserId, userPath } from './user-id.js'

type UserList = AnswerOf<'/users'>
type ListedUser = UserList['users'][number]
type Status = ListedUser['status']

const STATUSES: readonly Status[] = ['active', 'inactive', 'suspended', 'deleted']
/** sort and order as one choice */
const ORDERS = [
  { value: 'createdAt desc', label: 'Newest first' },
  { value: 'createdAt asc', label: 'Oldest first' },
  { value: 'updatedAt desc', label: 'Last changed first' },
  { value: 'username asc', label: 'Username A to Z' },
  { value: 'email asc', label: 'E-mail A to Z' }
] as const
const PAGE = 50
/** Time without another key pressed after which a search begins, ms. */
const TYPING_MS = 250

export function UsersPage() {
  return (
    <Page title="Users" lead="Find a user by name or address, or paste an id.">
      <Allowed scopes={['state:read']} what="read users">
        <UserSearch />
      </Allowed>
    </Page>
  )
}

function UserSearch() {
  const { api } = useSession()
  const [query, change] = useQuery()
  const q = query.get('q') ?? ''
  const statuses = STATUSES.filter((status) => query.getAll('status').includes(status))
  const order = ORDERS.find(({ value }) => value === query.get('sort')) ?? ORDERS[0]
  const [sort, direction] = order.value.split(' ') as ['createdAt' | 'updatedAt' | 'username' | 'email', 'asc' | 'desc']

  const found = usePages(
    JSON.stringify([q, statuses, order.value]),
    (cursor, signal) =>
      answerOf<UserList>(
        api.GET('/users', {
          params: {
            query: {
              ...(q !== '' && { q }),
              ...(statuses.length > 0 && { status: statuses }),
              ...(cursor !== undefined && { cursor }),
              sort,
              order: direction,
              limit: PAGE
            }
          },
          signal
        })
      ),
    ({ users }) => users
  )
  const filtered = q !== '' || statuses.length > 0

  return (
    <>
      <search class="filters">
        <SearchField q={q} onSearch={(text) => change({ q: text })} />
        <Select
          label="Order"
          value={order.value}
          choices={ORDERS}
          onChange={(value) => change({ sort: value === ORDERS[0].value ? null : value })}
        />
        <Chips
          legend="Status"
          choices={STATUSES.map((status) => ({ value: status, label: status }))}
          chosen={statuses}
          onChange={(chosen) => change({ status: chosen })}
        />
      </search>
      <Card flush>
        {found.items.length > 0 && (
          <Table caption="Users found" columns={columns} rows={found.items} keyOf={({ userId }) => userId} />
        )}
        {found.items.length === 0 && !found.loading && found.error === undefined && (
          <Empty icon={UserRoundSearch} title={filtered ? 'No user is like this.' : 'There are no users yet.'}>
            {filtered ? (
              <p>
                Search for whole words or the beginning of a name or address, or for fewer of them. Deleted users are
                found when the status says so.
              </p>
            ) : (
              <p>
                A user begins with a <code>UserCreated</code> event, sent to{' '}
                <code>POST /users/&#123;id&#125;/events</code>.
              </p>
            )}
          </Empty>
        )}
        <More pages={found} what="users" />
      </Card>
    </>
  )
}

/** Searches while one types; an id that is pasted leads to its user at once. */
function SearchField({ q, onSearch }: { q: string; onSearch: (text: string) => void }) {
  const { route } = useLocation()
  const [text, setText] = useState(q)
  const input = useRef<HTMLDivElement>(null)
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined)
  /** what the field last had in common with the address */
  const searched = useRef(q)

  // The address may change by itself, with Back or a link. What was searched from here comes back without what was typed meanwhile, and without
  // the space that a name goes on after.
  useLayoutEffect(() => {
    if (q === searched.current) return
    searched.current = q
    setText(q)
  }, [q])
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const typing = event.target instanceof HTMLElement && event.target.closest('input, textarea, select, dialog')
      if (event.key !== '/' || event.ctrlKey || event.metaKey || typing) return
      event.preventDefault()
      input.current?.querySelector('input')?.focus()
    }
    document.addEventListener('keydown', focus)
    return () => {
      document.removeEventListener('keydown', focus)
      clearTimeout(timer.current)
    }
  }, [])

  function search(given: string): void {
    clearTimeout(timer.current)
    searched.current = given
    onSearch(given)
  }
  function typed(value: string): void {
    setText(value)
    clearTimeout(timer.current)
    const given = value.trim()
    if (isUserId(given)) route(userPath(given.toLowerCase()))
    else timer.current = setTimeout(() => search(given), TYPING_MS)
  }
  function submit(event: SubmitEvent): void {
    event.preventDefault()
    search(text.trim())
  }

  return (
    <form class="search-form" onSubmit={submit}>
      <div ref={input} class="search-field">
        <Field
          label="Search"
          type="search"
          value={text}
          maxLength={200}
          placeholder="ada, ada@example.com, 5b2f3c9e-…"
          shortcut="/"
          onInput={typed}
        />
      </div>
    </form>
  )
}

const columns: readonly Column<ListedUser>[] = [
  {
    name: 'User',
    cell: ({ userId, username, fullName }) => (
      <a class="strong breakable" href={userPath(userId)}>
        {fullName ?? username}
        {fullName !== null && <span class="beside">{username}</span>}
      </a>
    )
  },
  { name: 'E-mail', cell: ({ email }) => <span class="breakable">{email}</span> },
  {
    name: 'Status',
    cell: ({ status, accountLocked }) => (
      <span class="badges">
        <StatusBadge status={status} />
        {accountLocked && <Badge tone="bad">locked</Badge>}
      </span>
    )
  },
  { name: 'Created', cell: ({ createdAt }) => <RelativeTime at={createdAt} /> },
  { name: 'Last changed', cell: ({ updatedAt }) => (updatedAt ? <RelativeTime at={updatedAt} /> : '–') },
  { name: 'Version', cell: ({ lastUpdatedVersion }) => lastUpdatedVersion, number: true }
]
