/** Looks at an owed event, and asks before one or all are tried again or given up. */
import { useState } from 'preact/hooks'
import { ApiError } from '../../api/api-error.js'
import { type AnswerOf, answerOf } from '../../api/client.js'
import { useSession } from '../../api/session.js'
import { useLoaded } from '../../api/use-loaded.js'
import { Answer } from '../../components/answer.js'
import { Button } from '../../components/button.js'
import { ConfirmDialog, Dialog } from '../../components/dialog.js'
import { Field } from '../../components/field.js'
import { JsonView } from '../../components/json-view.js'
import { addressed, type Named } from './subscription.js'

/** One event, or all dead letters. */
export type Choice = { userId: string; version: number } | Record<string, never>
type Asking = { named: Named; choice: Choice; onClose: () => void }

const isOne = (choice: Choice): choice is { userId: string; version: number } => 'userId' in choice

export function OwedDialog({ named, choice, onClose }: Asking) {
  const { api } = useSession()
  const found = useLoaded(isOne(choice) ? `${choice.userId} ${choice.version}` : null, (signal) => {
    const { path, query } = addressed(named)
    return answerOf<AnswerOf<'/admin/subscriptions/{name}/outbox/{userId}/{version}'>>(
      api.GET('/admin/subscriptions/{name}/outbox/{userId}/{version}', {
        params: { path: { ...path, ...(choice as { userId: string; version: number }) }, query },
        signal
      })
    )
  })
  return (
    <Dialog title="Owed event" onClose={onClose}>
      <Answer of={found} what="the event">
        {({ event, lastError, attempts }) => (
          <>
            <p class="breakable">
              {lastError ?? 'Nothing was said yet'} <span class="fine">after {attempts} tries</span>
            </p>
            <JsonView value={event} label="the event" />
          </>
        )}
      </Answer>
      <div class="actions end">
        <Button onClick={onClose}>Close</Button>
      </div>
    </Dialog>
  )
}

export function RetryDialog({ named, choice, onDone, onClose }: Asking & { onDone: () => void }) {
  const { api } = useSession()
  async function retry(): Promise<void> {
    await answerOf(api.POST('/admin/subscriptions/{name}/outbox/retry', { params: addressed(named), body: choice }))
    onDone()
  }
  return (
    <ConfirmDialog
      title={isOne(choice) ? 'Try this event again?' : 'Try all dead letters again?'}
      confirm={isOne(choice) ? 'Try again' : 'Try all again'}
      onConfirm={retry}
      onClose={onClose}
    >
      {isOne(choice)
        ? 'It leaves the outbox when it is delivered.'
        : 'They leave the outbox when they are delivered. At most 10,000 are tried at once.'}
    </ConfirmDialog>
  )
}

const NO_REASON = new ApiError({
  status: 0,
  code: 'REASON_MISSING',
  title: 'There is no reason',
  detail: 'Say why first. The reason is kept with what is discarded.'
})

export function DiscardDialog({ named, choice, onDone, onClose }: Asking & { onDone: () => void }) {
  const { api } = useSession()
  const [reason, setReason] = useState('')
  const given = reason.trim()
  async function discard(): Promise<void> {
    await answerOf(
      api.POST('/admin/subscriptions/{name}/outbox/discard', {
        params: addressed(named),
        body: { ...choice, reason: given }
      })
    )
    onDone()
  }
  return (
    <ConfirmDialog
      title={isOne(choice) ? 'Discard this event?' : 'Discard all dead letters?'}
      confirm={isOne(choice) ? 'Discard it' : 'Discard all'}
      danger
      onConfirm={() => {
        if (given !== '') return discard()
        return Promise.reject(NO_REASON)
      }}
      onClose={onClose}
    >
      <p>The subscription never delivers what is discarded; later events of the users flow on.</p>
      <Field
        label="Reason"
        value={reason}
        maxLength={500}
        hint="It is kept with what is discarded."
        onInput={setReason}
      />
    </ConfirmDialog>
  )
}
