/** Buttons, and links that look like them. */
import type { ComponentChildren, JSX } from 'preact'

export type ButtonKind = 'plain' | 'primary' | 'quiet' | 'danger'

type ButtonProps = Omit<JSX.IntrinsicElements['button'], 'class' | 'type'> & {
  kind?: ButtonKind
  type?: 'button' | 'submit'
  /** what it does is on its way: it cannot be pressed again */
  busy?: boolean
  children: ComponentChildren
}

export function Button({ kind = 'plain', type = 'button', busy = false, disabled, children, ...rest }: ButtonProps) {
  return (
    <button {...rest} type={type} class={`button ${kind}`} disabled={disabled || busy} aria-busy={busy}>
      {children}
    </button>
  )
}

export function ButtonLink({
  href,
  kind = 'plain',
  children
}: {
  href: string
  kind?: ButtonKind
  children: ComponentChildren
}) {
  return (
    <a class={`button ${kind}`} href={href}>
      {children}
    </a>
  )
}
