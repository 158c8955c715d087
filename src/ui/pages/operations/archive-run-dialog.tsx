/** Asks how old the events are that a run moves, or counts, and starts it. */
import { useState } from 'preact/hooks'
import { ApiError } from '../../api/api-error.js'
import { answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { ConfirmDialog } from '../../components/dialog.js'
import { Field } from '../../components/field.js'

const DAYS_MAX = 36_500

const WRONG_DAYS = new ApiError({
  status: 0,
  code: 'DAYS_INVALID',
  title: 'These are no days',
  detail: `Expected a whole number from 0 to ${DAYS_MAX}.`
})

/** `afterDays`: what the service is set to; 0 when it moves nothing by itself. */
export function ArchiveRunDialog({
  dryRun,
  afterDays,
  onDone,
  onClose
}: {
  dryRun: boolean
  afterDays: number
  onDone: () => void
  onClose: () => void
}) {
  const { api } = useSession()
  const [days, setDays] = useState(afterDays === 0 ? '' : String(afterDays))
  async function start(): Promise<void> {
    const olderThanDays = Number(days)
    if (!/^\d+$/.test(days.trim()) || olderThanDays > DAYS_MAX) throw WRONG_DAYS
    await answerOf(api.POST('/admin/archive/runs', { body: { olderThanDays, dryRun } }))
    onDone()
  }
  return (
    <ConfirmDialog
      title={dryRun ? 'Count what would be moved?' : 'Move old events now?'}
      confirm={dryRun ? 'Start the dry run' : 'Start the run'}
      onConfirm={start}
      onClose={onClose}
    >
      <p>
        {dryRun
          ? 'Nothing is moved.'
          : 'Events that every follower has passed are moved, but for the newest of each user. A run that breaks off goes on by itself.'}
      </p>
      <Field label="Older than (days)" value={days} hint={`A whole number from 0 to ${DAYS_MAX}.`} onInput={setDays} />
    </ConfirmDialog>
  )
}
