/** Rows of data. On a narrow screen each row becomes a block in which every value has the name of its column before it. */
import type { ComponentChildren } from 'preact'

export type Column<Row> = {
  name: string
  cell: (row: Row) => ComponentChildren
  /** numbers stand at the right */
  number?: boolean
}

/** `caption` says to readers of screens what the rows are. */
export function Table<Row>({
  caption,
  columns,
  rows,
  keyOf
}: {
  caption: string
  columns: readonly Column<Row>[]
  rows: readonly Row[]
  keyOf: (row: Row) => string
}) {
  return (
    <table class="table">
      <caption class="unseen">{caption}</caption>
      <thead>
        <tr>
          {columns.map(({ name, number }) => (
            <th key={name} scope="col" class={number ? 'number' : undefined}>
              {name}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>
        {rows.map((row) => (
          <tr key={keyOf(row)}>
            {columns.map(({ name, cell, number }) => (
              <td key={name} data-name={name} class={number ? 'number' : undefined}>
                {cell(row)}
              </td>
            ))}
          </tr>
        ))}
      </tbody>
    </table>
  )
}
