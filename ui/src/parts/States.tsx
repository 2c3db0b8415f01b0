// What is shown in the place of what is not there.
import type { Failure } from '../api'

export function Loading({ what }: { what: string }) {
  return <div className="state" role="status"><div className="pulse" aria-hidden="true"><i /><i /><i /></div><p>Reading {what}…</p></div>
}

export function Trouble({ error, again }: { error: Failure; again: () => void }) {
  return (
    <div className="state" role="alert">
      <h2>{error.status === 501 ? 'There are no metrics' : 'This could not be read'}</h2>
      <p>{sentence(error.message)}</p>
      <button type="button" className="button" onClick={again}>Try again</button>
    </div>
  )
}

export function Empty({ title, children }: { title: string; children?: React.ReactNode }) {
  return <div className="state"><h2>{title}</h2>{children}</div>
}

export function Notice({ children }: { children: React.ReactNode }) {
  return <p className="notice" role="status">{children}</p>
}

export function sentence(s: string): string {
  const t = s.charAt(0).toUpperCase() + s.slice(1)
  return /[.!?]$/.test(t) ? t : t + '.'
}
