/** A version of a user as a number that can be typed. */
import { useEffect, useId, useState } from 'preact/hooks'

export function VersionField({
  label,
  value,
  head,
  onVersion
}: {
  label: string
  value: number
  /** the newest there is */
  head: number
  onVersion: (version: number) => void
}) {
  const id = useId()
  const [text, setText] = useState(String(value))
  useEffect(() => setText(String(value)), [value])
  const version = Number(text)
  const valid = Number.isInteger(version) && version >= 1 && version <= head

  function typed(given: string): void {
    setText(given)
    const typedVersion = Number(given)
    if (Number.isInteger(typedVersion) && typedVersion >= 1 && typedVersion <= head) onVersion(typedVersion)
  }
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        id={id}
        class="input"
        type="number"
        min={1}
        max={head}
        value={text}
        onInput={(event) => typed(event.currentTarget.value)}
        aria-invalid={!valid}
        aria-describedby={`${id}-notes`}
      />
      <p id={`${id}-notes`} class={valid ? 'fine' : 'problem'} aria-live="polite">
        {valid ? `1 to ${head}` : `Expected a whole number from 1 to ${head}.`}
      </p>
    </div>
  )
}
