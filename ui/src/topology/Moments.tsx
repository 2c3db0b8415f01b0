// When the graph is of: now, or any moment of the last day, alone or beside another one.
import { useEffect, useMemo, useState } from 'react'
import { type Series, usePoll } from '../api'
import { useParam } from '../route'

const spans: Record<string, [string, number]> = { '10m': ['10 minutes', 600], '1h': ['hour', 3600], '6h': ['6 hours', 21600], '24h': ['24 hours', 86400] }

export function clock(seconds: number): string {
  const d = new Date(seconds * 1000)
  const day = d.toDateString() === new Date().toDateString() ? '' : d.toLocaleDateString(undefined, { weekday: 'short' }) + ' '
  return day + d.toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })
}

// ago is how commands write a moment.
function ago(seconds: number): string {
  const s = Math.round(seconds)
  return s < 90 ? `${s} s` : s < 5400 ? `${Math.round(s / 60)} min` : `${Math.round(s / 360) / 10} h`
}

export function Moments({ every, loading }: { every: number; loading: boolean }) {
  const [at, setAt] = useParam('at', '')
  const [versus, setVersus] = useParam('versus', '')
  const [span, setSpan] = useParam('span', '1h')
  const [playing, play] = useState(false)
  const [now, tick] = useState(() => Math.floor(Date.now() / 1000))
  const length = spans[span]?.[1] ?? 3600
  const step = Math.max(5, Math.round(length / 240))
  const from = now - length, value = at ? Math.max(from, Math.min(Number(at), now)) : now
  useEffect(() => {
    const t = setInterval(() => { if (!document.hidden) tick(Math.floor(Date.now() / 1000)) }, 5000)
    return () => clearInterval(t)
  }, [])
  // The next moment comes when this one has been seen.
  useEffect(() => {
    if (!playing || loading) return
    const t = setTimeout(() => {
      if (!at || Number(at) + step >= now) { setAt('', true); play(false) }
      else setAt(String(Number(at) + step), true)
    }, 500)
    return () => clearTimeout(t)
  }, [playing, loading, at, now, step, setAt])
  const start = () => {
    if (!at) setAt(String(from), false)
    play(!playing)
  }
  const { data } = usePoll<Series>(`/api/series?of=mesh&range=${span}`, Math.max(every, 15000))
  return (
    <div className="moments" role="group" aria-label="Moment">
      <button type="button" className="button small" aria-pressed={!at} onClick={() => { play(false); setAt('') }}><span className="dot" aria-hidden="true" /> Live</button>
      <button type="button" className="button small" onClick={start} aria-label={playing ? 'Pause the replay' : `Replay the last ${spans[span]?.[0]}`}>{playing ? '❚❚' : '▶'} <span>{playing ? 'Pause' : 'Replay'}</span></button>
      <div className="timeline">
        <Past series={data} from={from} to={now} />
        <input type="range" aria-label="Moment that is shown" min={from} max={now} step={step} value={value} aria-valuetext={at ? `${clock(value)}, ${ago(now - value)} ago` : 'now'}
          onChange={e => { play(false); const v = Number(e.target.value); setAt(v >= now - step ? '' : String(v), true) }} />
        {versus && Number(versus) >= from && <Flag at={(Number(versus) - from) / length} />}
      </div>
      <output className="moment-says">{at ? <><b>{clock(value)}</b> <span className="soft">{ago(now - value)} ago</span></> : <b>now</b>}</output>
      <label className="soft">of the last <select value={span} onChange={e => setSpan(e.target.value)} aria-label="Length of the timeline">{Object.entries(spans).map(([k, [name]]) => <option key={k} value={k}>{name}</option>)}</select></label>
      {versus
        ? <button type="button" className="button small" aria-pressed="true" onClick={() => setVersus('')}>Compared with {clock(Number(versus))} ✕</button>
        : <button type="button" className="button small" onClick={() => { setVersus(String(at ? value : now - Math.min(300, length / 2))); if (at) setAt('') }} title={at ? 'Shows now, with what is different from this moment' : 'Shows what is different from some minutes ago'}>{at ? 'Compare with now' : 'Compare'}</button>}
    </div>
  )
}

function Flag({ at }: { at: number }) {
  return <svg className="flag" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true"><rect x={Math.max(0, at * 1000 - 1.5)} width="3" y="0" height="10" /></svg>
}

// Past is how much was asked behind the slider, and when it went wrong.
function Past({ series, from, to }: { series?: Series; from: number; to: number }) {
  const bars = useMemo(() => {
    const requests = series?.charts[0], errors = series?.charts[1]?.lines[0]
    if (!series || !requests?.lines.length) return []
    const start = Date.parse(series.start) / 1000
    const sums = requests.lines[0].values.map((_, i) => requests.lines.reduce((s, l) => s + (l.values[i] ?? 0), 0))
    const most = Math.max(...sums, 0.001)
    return sums.map((s, i) => ({ x: ((start + i * series.step - from) / (to - from)) * 1000, h: (s / most) * 20, bad: errors?.values[i] ?? 0 })).filter(b => b.h > 0 && b.x >= 0)
  }, [series, from, to])
  const width = 1000 / 121
  return (
    <svg className="past" viewBox="0 0 1000 20" preserveAspectRatio="none" aria-hidden="true">
      {bars.map((b, i) => <rect key={i} x={b.x - width} width={width - 1} y={20 - b.h} height={b.h} className={b.bad >= 0.1 ? 'failing' : b.bad > 0.001 ? 'degraded' : 'healthy'} />)}
    </svg>
  )
}
