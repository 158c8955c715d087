/** A version of a user as a number that can be typed. */
import { useEffect, useState } from 'preact/hooks'
import { Field } from '../../components/field.js'

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
  const [text, setText] = useState(String(value))
  useEffect(() => setText(String(value)), [value])
  const isVersion = (given: string) => Number.isInteger(Number(given)) && Number(given) >= 1 && Number(given) <= head

  function typed(given: string): void {
    setText(given)
    if (isVersion(given)) onVersion(Number(given))
  }
  return (
    <Field
      label={label}
      type="number"
      min={1}
      max={head}
      value={text}
      hint={`1 to ${head}`}
      problem={isVersion(text) ? undefined : `Expected a whole number from 1 to ${head}.`}
      onInput={typed}
    />
  )
}
