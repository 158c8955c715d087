/** Fields of forms, each with the words that belong to it. */
import { useId } from 'preact/hooks'

type FieldProps = {
  label: string
  value: string
  onInput: (value: string) => void
  type?: 'text' | 'search' | 'password' | 'number' | 'datetime-local'
  placeholder?: string
  /** characters */
  maxLength?: number
  /** least and greatest, of a number or a moment, and what lies between two (of a moment seconds) */
  min?: number | string
  max?: number | string
  step?: number
  /** key that leads to the field from anywhere on the page */
  shortcut?: string
  /** what may stand in it, below it */
  hint?: string
  /** what is wrong with it */
  problem?: string | undefined
}

/** One line of text that the browser neither completes nor corrects: what is typed here are names and ids. */
export function Field({ label, value, onInput, type = 'text', shortcut, hint, problem, ...rest }: FieldProps) {
  const id = useId()
  const notes = `${id}-notes`
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <input
        {...rest}
        id={id}
        class="input"
        // Which roles an input may have depends on its type, one by one.
        type={type as 'text'}
        value={value}
        onInput={(event) => onInput(event.currentTarget.value)}
        autoComplete="off"
        spellcheck={false}
        aria-keyshortcuts={shortcut}
        aria-invalid={problem !== undefined}
        aria-describedby={notes}
      />
      <div id={notes} aria-live="polite">
        {problem ? <p class="problem">{problem}</p> : hint ? <p class="fine">{hint}</p> : null}
      </div>
    </div>
  )
}

export type Choice = { value: string; label: string }

export function Select({
  label,
  value,
  choices,
  onChange
}: {
  label: string
  value: string
  choices: readonly Choice[]
  onChange: (value: string) => void
}) {
  const id = useId()
  return (
    <div class="field">
      <label for={id}>{label}</label>
      <select id={id} class="input" value={value} onChange={(event) => onChange(event.currentTarget.value)}>
        {choices.map((choice) => (
          <option key={choice.value} value={choice.value}>
            {choice.label}
          </option>
        ))}
      </select>
    </div>
  )
}

/** Any number of choices, as switches in a row. None chosen means all. */
export function Chips({
  legend,
  choices,
  chosen,
  onChange
}: {
  legend: string
  choices: readonly Choice[]
  chosen: readonly string[]
  onChange: (chosen: string[]) => void
}) {
  const toggle = (value: string) =>
    onChange(chosen.includes(value) ? chosen.filter((each) => each !== value) : [...chosen, value])
  return (
    <fieldset class="chips">
      <legend>{legend}</legend>
      {choices.map(({ value, label }) => (
        <label key={value} class="chip">
          <input type="checkbox" checked={chosen.includes(value)} onChange={() => toggle(value)} />
          <span>{label}</span>
        </label>
      ))}
    </fieldset>
  )
}
