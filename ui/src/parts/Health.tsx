import type { Health, State } from '../api'

export const stateNames: Record<State, string> = { failing: 'Failing', degraded: 'Degraded', healthy: 'Healthy', idle: 'Idle', unknown: 'Unknown' }
export const worstFirst: State[] = ['failing', 'degraded', 'healthy', 'idle', 'unknown']

// The same shapes as in the graph.
const marks: Record<State, React.ReactNode> = {
  failing: <path d="M5 1h6l4 4v6l-4 4H5l-4-4V5z" />,
  degraded: <path d="M8 .8 15.2 8 8 15.2.8 8z" />,
  healthy: <circle cx="8" cy="8" r="7" />,
  idle: <rect x="1.5" y="1.5" width="13" height="13" rx="3" />,
  unknown: <path d="M1 3h9l5 5-5 5H1z" />,
}
const glyphs: Record<State, React.ReactNode> = {
  failing: <path d="m5.5 5.5 5 5m0-5-5 5" />,
  degraded: <path d="M8 4.5v4M8 11v.3" />,
  healthy: <path d="m4.8 8.2 2.3 2.3 4.2-4.8" />,
  idle: <path d="M5 8h6" />,
  unknown: <path d="M6.3 6.3a1.8 1.8 0 1 1 2.5 1.7c-.6.3-.8.6-.8 1M8 11.2v.2" />,
}

export function Mark({ state }: { state: State }) {
  return (
    <svg className={`mark ${state}`} viewBox="0 0 16 16" width="16" height="16" aria-hidden="true">
      <g className="mark-shape">{marks[state]}</g>
      <g className="mark-glyph">{glyphs[state]}</g>
    </svg>
  )
}

export function HealthMark({ health }: { health: Health }) {
  return <span className="health" title={health.reason}><Mark state={health.state} /> {stateNames[health.state]}</span>
}
