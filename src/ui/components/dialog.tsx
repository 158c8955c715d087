/** Something that is asked before anything else goes on. The browser keeps the focus in it and closes it on Escape. */
import type { ComponentChildren } from 'preact'
import { useId, useLayoutEffect, useRef, useState } from 'preact/hooks'
import { Button } from './button.js'
import { ErrorBox } from './error-box.js'

/** Open as long as it is there. */
export function Dialog({
  title,
  onClose,
  children
}: {
  title: string
  onClose: () => void
  children: ComponentChildren
}) {
  const element = useRef<HTMLDialogElement>(null)
  const titleId = useId()
  useLayoutEffect(() => {
    const dialog = element.current!
    dialog.showModal()
    return () => dialog.close()
  }, [])
  return (
    <dialog class="dialog" ref={element} aria-labelledby={titleId} onClose={onClose}>
      <h2 id={titleId}>{title}</h2>
      {children}
    </dialog>
  )
}

/** Asks whether something shall be done, does it, and closes; an error stays in it, to be tried again. */
export function ConfirmDialog({
  title,
  confirm,
  danger = false,
  onConfirm,
  onClose,
  children
}: {
  title: string
  /** what the button says, a verb: `Revoke the key` */
  confirm: string
  /** what is done cannot be taken back */
  danger?: boolean
  onConfirm: () => Promise<void>
  onClose: () => void
  children: ComponentChildren
}) {
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<unknown>(null)
  async function run(): Promise<void> {
    setBusy(true)
    setError(null)
    try {
      await onConfirm()
      onClose()
    } catch (err) {
      setError(err)
      setBusy(false)
    }
  }
  return (
    <Dialog title={title} onClose={onClose}>
      <div class="dialog-body">{children}</div>
      {error !== null && <ErrorBox error={error} />}
      <div class="actions end">
        <Button kind="quiet" onClick={onClose}>
          Cancel
        </Button>
        <Button kind={danger ? 'danger' : 'primary'} busy={busy} onClick={run}>
          {confirm}
        </Button>
      </div>
    </Dialog>
  )
}
