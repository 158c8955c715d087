/** Running the archive, and what a store answers whichever way it is asked: to be compared before and after events were moved. */
import type { Test } from 'tap'
import type { Line } from '../domain/history-lines.js'
import type { Answer, TestService } from './service.js'
import { until } from './wait.js'

type Asking = Pick<TestService, 'get' | 'post'>

/** Settings under which a run takes many small steps, and no time. */
export const FAST = { ARCHIVE_EVENTS_PER_SECOND: '1000000', ARCHIVE_WINDOW_EVENTS: '100' }

/** Asks for a run and returns it when it has ended. */
export async function archived({ post, get }: Asking, body: object): Promise<Record<string, any>> {
  const asked = await post('/admin/archive/runs', body)
  if (asked.statusCode !== 202) throw new Error(asked.body)
  return await until(
    async () => {
      const { runs } = (await get('/admin/archive')).data
      const run = runs.find(({ id }: { id: string }) => id === asked.data.id)
      return ['done', 'failed'].includes(run?.status) && run
    },
    { timeoutMs: 150_000, everyMs: 20, what: 'the end of the run' }
  )
}

/** Waits until nobody holds events back. */
export const followed = ({ get }: Pick<Asking, 'get'>) =>
  until(async () => (await get('/admin/archive')).data.heldBackBy.length === 0, { timeoutMs: 60_000, everyMs: 20 })

/** The lines of the first `count` users. */
export function someUsers(lines: readonly Line[], count: number): Line[] {
  const users = new Set([...new Set(lines.map(({ aggregateId }) => aggregateId))].slice(0, count))
  return lines.filter(({ aggregateId }) => users.has(aggregateId))
}

/** Answers by URL: of every user in `lines`, and of the feed. What may differ is left out: how a state was reached, sizes. */
export async function answersOf({ get, post }: Asking, lines: readonly Line[]): Promise<Map<string, string>> {
  const answers = new Map<string, string>()
  const ask = async (url: string, headers: Record<string, string> = {}): Promise<Answer> => {
    const answer = await get(url, headers)
    answers.set(`${url} ${Object.values(headers)}`, `${answer.statusCode} ${comparable(answer)}`)
    return answer
  }
  const walk = async (url: string, cursor: 'after' | 'cursor'): Promise<void> => {
    for (let next: string | null = '', pages = 0; next !== null && pages < 500; pages++) {
      const page: Answer = await ask(`${url}${next === '' ? '' : `&${cursor}=${encodeURIComponent(next)}`}`)
      if (page.statusCode !== 200) return
      next = page.data.events.length === 0 && cursor === 'after' ? null : page.data.next
    }
  }

  const users = [...new Set(lines.map(({ aggregateId }) => aggregateId))]
  for (const user of users) {
    const life = lines.filter(({ aggregateId }) => aggregateId === user)
    const events = `/users/${user}/events`
    const middle = life[Math.floor(life.length / 2)]!
    await ask(events, { accept: 'application/x-ndjson' })
    await walk(`${events}?limit=7`, 'cursor')
    await walk(`${events}?limit=7&direction=backward&upcast=false`, 'cursor')
    await walk(`${events}?limit=3&eventType=UserUpdated&eventType=Moved`, 'cursor')
    await walk(`${events}?limit=5&from=${middle.createdAt}`, 'cursor')
    await ask(`${events}?to=${middle.createdAt}&direction=backward`)
    await ask(`${events}?fromVersion=${middle.version}&toVersion=${middle.version + 2}`)
    for (const { version, createdAt } of life) {
      await ask(`${events}/${version}`)
      await ask(`/users/${user}/state?version=${version}`)
      await ask(`/users/${user}/state?version=${version}&useSnapshot=false`)
      await ask(`/users/${user}/state?at=${createdAt}`)
    }
    await ask(`/users/${user}/state`)
    await ask(`/users/${user}/state?useSnapshot=false`)
    await ask(`/users/${user}/diff?fromVersion=1&toVersion=${life.length}`)
    const verified = await post(`/admin/users/${user}/verify`)
    answers.set(`verify ${user}`, `${verified.statusCode} ${verified.data.correct}`)
    await walk(`/events?limit=4&userId=${user}`, 'after')
    await walk(`/events?limit=4&userId=${user}&direction=backward`, 'after')
  }
  await walk('/events?limit=50', 'after')
  await walk('/events?limit=50&direction=backward', 'after')
  await walk('/events?limit=20&eventType=LoginInfoUpdated&upcast=false', 'after')
  await ask('/events/export')
  await ask('/events/export?upcast=false&eventType=UserCreated')
  await ask(`/events/export?userId=${users[0]}`)
  await ask(`/events/export?from=${lines[Math.floor(lines.length / 3)]!.createdAt}`)
  await ask('/stats/events')
  return answers
}

/** Fails the test for every answer that is not what it was. */
export function sameAnswers(t: Test, before: ReadonlyMap<string, string>, after: ReadonlyMap<string, string>): void {
  const differing = [...before].filter(([url, answer]) => after.get(url) !== answer)
  for (const [url, answer] of differing.slice(0, 5)) t.equal(after.get(url), answer, url)
  t.strictSame([...after.keys()], [...before.keys()], 'the same pages')
  t.equal(differing.length, 0, `${before.size} answers are the same`)
}

function comparable({ data, body }: Answer): string {
  if (data === null) return body
  const { replay: _replay, storageBytes: _storage, ...rest } = data
  return JSON.stringify(rest)
}
