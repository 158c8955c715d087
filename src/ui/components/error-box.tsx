/** What went wrong, and what to do. */
import { CircleAlert, RotateCw } from 'lucide'
import { ApiError, adviceOf } from '../api/api-error.js'
import { Button } from './button.js'
import { Icon } from './icon.js'

/** `onRetry` is offered as a button when it is given. */
export function ErrorBox({ error, onRetry }: { error: unknown; onRetry?: (() => void) | undefined }) {
  const known = error instanceof ApiError ? error : null
  const advice = known && adviceOf(known)
  return (
    <div class="error-box" role="alert">
      <Icon of={CircleAlert} size={20} />
      <div>
        <p class="error-title">{known?.title ?? 'This page failed'}</p>
        <p>{known?.detail ?? `${String(error)}. Reload the page; if it fails again, tell who runs the service.`}</p>
        {advice && <p>{advice}</p>}
        {known && (
          <p class="fine">
            <code>{known.code}</code>
            {known.requestId && (
              <>
                {' · request '}
                <code>{known.requestId}</code>
              </>
            )}
          </p>
        )}
        {onRetry && (
          <Button onClick={onRetry}>
            <Icon of={RotateCw} /> Try again
          </Button>
        )}
      </div>
    </div>
  )
}
