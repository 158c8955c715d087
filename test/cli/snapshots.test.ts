/** `user-events snapshots` and `projections`: what can always be made anew, wherever the store is. */
import t from 'tap'
import { cliTargets, onEach } from '../support/cli.js'
import { newUserId, updates, userCreated } from '../support/events.js'

const everywhere = onEach(t, await cliTargets(t))

everywhere('snapshots are made, listed and deleted', async (t, { append, json, run }) => {
  const userId = newUserId()
  await append(userId, [userCreated()])
  t.equal((await run('snapshots', 'list', userId)).out, 'The user has no snapshots.\n')
  t.match(await run('snapshots', 'create', userId), { code: 0, out: 'There is a snapshot of version 1.\n' })
  await append(userId, updates(1))
  t.match(await json(['snapshots', 'create', userId, '--reason', 'before the move']), { version: 2 })
  t.match(await json(['snapshots', 'list', userId]), [
    { version: 2, metadata: { reason: 'before the move' } },
    { version: 1 }
  ])
  t.match((await run('snapshots', 'list', userId)).out, /^version +bytes +reason .*\n +2 +\d+ +before the move/)
  t.match(await json(['snapshots', 'cleanup', userId, '--retain', '1']), { deleted: 1 })
  t.match(await run('snapshots', 'cleanup', '--older-than-days', '1'), { code: 0, out: '0 snapshots were deleted.\n' })
  for (const args of [[], [userId], ['--retain', '1'], [userId, '--older-than-days', '1']])
    t.match(await run('snapshots', 'cleanup', ...args), { code: 2, err: /Name a user and --retain/ })
  t.match(await run('snapshots', 'create', newUserId()), { code: 3, err: /USER_NOT_FOUND/ })
})

everywhere('projections are shown and rebuilt', async (t, { append, json, run }) => {
  await append(newUserId(), [userCreated(), ...updates(3)])
  const [before] = await json(['projections', 'status'])
  t.match(before, { name: 'users', parkedUsers: 0 })
  t.match((await run('projections', 'status')).out, /^name +version .*\nusers /)
  t.match(await run('projections', 'rebuild', 'users', '--wait'), { code: 0, out: 'users was rebuilt.\n' })
  const [after] = await json(['projections', 'status'])
  t.ok(after.filledAt > before.filledAt)
  t.match(await run('projections', 'parked', 'users'), { code: 0, out: 'It put nobody aside.\n' })
  t.match(await run('projections', 'rebuild', 'none'), { code: 3, err: /PROJECTION_NOT_FOUND/ })
})
