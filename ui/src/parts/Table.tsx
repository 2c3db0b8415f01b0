// A table that sorts by its headings.
import { useMemo, useState } from 'react'

export interface Column<T> { name: string; cell: (x: T) => React.ReactNode; sort?: (x: T) => string | number; number?: boolean; words?: boolean; heading?: boolean; note?: string }

export function Table<T>({ caption, columns, rows, id, first, chosen, row }: {
  caption: string; columns: Column<T>[]; rows: T[]; id: (x: T) => string; first?: { column: string; down: boolean }; chosen?: string; row?: (x: T) => string
}) {
  const [by, set] = useState(first)
  const sorted = useMemo(() => {
    const c = columns.find(c => c.name === by?.column)
    if (!c?.sort || !by) return rows
    const sort = c.sort
    return [...rows].sort((a, b) => {
      const x = sort(a), y = sort(b)
      const n = typeof x === 'number' && typeof y === 'number' ? x - y : String(x).localeCompare(String(y))
      return (by.down ? -n : n) || id(a).localeCompare(id(b))
    })
  }, [rows, by, columns, id])
  return (
    <div className="table-holder">
      <table>
        <caption className="unseen">{caption}</caption>
        <thead><tr>{columns.map(c => (
          <th key={c.name} scope="col" className={c.number ? 'number' : undefined} title={c.note} aria-sort={by?.column === c.name ? (by.down ? 'descending' : 'ascending') : undefined}>
            {c.sort
              ? <button type="button" onClick={() => set({ column: c.name, down: by?.column === c.name ? !by.down : !!c.number })}>{c.name}<span className="sorted" aria-hidden="true">{by?.column === c.name ? (by.down ? '↓' : '↑') : ''}</span></button>
              : c.name}
          </th>
        ))}</tr></thead>
        <tbody>{sorted.map(x => (
          <tr key={id(x)} className={[row?.(x), chosen === id(x) ? 'chosen' : ''].join(' ')}>
            {columns.map(c => c.heading ? <th key={c.name} scope="row">{c.cell(x)}</th> : <td key={c.name} className={c.number ? 'number' : c.words ? 'words' : undefined}>{c.cell(x)}</td>)}
          </tr>
        ))}</tbody>
      </table>
    </div>
  )
}
