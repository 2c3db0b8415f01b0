// Two moments as one graph: what there is now and what there was, with the differences in words.
import type { Change, Graph, GraphEdge, GraphNode, Traffic } from '../api'
import { flow, share, time } from '../format'
import { stateNames } from '../parts/Health'

// What a person would call a difference. Rates and times of a mesh at rest move by less.
const rateMoves = 0.3, leastRate = 0.2, errorMoves = 0.01, timeMoves = 0.5, leastTime = 10

const moved = (a: number, b: number, by: number, least: number) => Math.abs(b - a) >= least && Math.abs(b - a) > by * Math.max(a, b)

interface Judged { health: GraphNode['health'] }

function differences(was: Judged, is: Judged, a: Traffic, b: Traffic): { says: string[]; short?: string } {
  const says: string[] = []
  let short: string | undefined
  if (was.health.state !== is.health.state) says.push(`${stateNames[was.health.state]} → ${stateNames[is.health.state]}`)
  if (moved(a.rate, b.rate, rateMoves, leastRate) || moved(a.requestBytes + a.responseBytes, b.requestBytes + b.responseBytes, rateMoves, 1000) && a.rate + b.rate === 0) {
    short = `${flow(a)} → ${flow(b)}`
    says.push(`Traffic ${short}`)
  }
  if (Math.abs(b.errorRate - a.errorRate) >= errorMoves) {
    short = `errors ${share(a.errorRate)} → ${share(b.errorRate)}`
    says.push(`Errors ${share(a.errorRate)} → ${share(b.errorRate)}`)
  }
  if (a.p95 !== null && b.p95 !== null && moved(a.p95, b.p95, timeMoves, leastTime)) {
    short ??= `p95 ${time(a.p95)} → ${time(b.p95)}`
    says.push(`95th percentile ${time(a.p95)} → ${time(b.p95)}`)
  }
  if (a.mtls !== null && b.mtls !== null && Math.abs(a.mtls - b.mtls) > 0.01) says.push(`Mutual TLS ${share(a.mtls)} → ${share(b.mtls)}`)
  return { says, short }
}

function pair<T extends { id: string; change?: Change; health: GraphNode['health'] }>(was: T[], is: T[], traffic: (x: T) => Traffic): T[] {
  const before = new Map(was.map(x => [x.id, x]))
  const out = is.map((x): T => {
    const old = before.get(x.id)
    before.delete(x.id)
    // What had been and carried nothing is as new as what had not been.
    if (!old || old.health.state === 'idle' && x.health.state !== 'idle') return { ...x, change: { kind: 'new', says: ['New since then.'] } }
    if (old.health.state !== 'idle' && x.health.state === 'idle') return { ...x, change: { kind: 'gone', says: ['Had traffic then, and has none now.'], short: 'gone' } }
    const d = differences(old, x, traffic(old), traffic(x))
    return d.says.length ? { ...x, change: { kind: 'changed', ...d } } : x
  })
  for (const x of before.values()) if (x.health.state !== 'idle') out.push({ ...x, change: { kind: 'gone', says: ['Was there then, and is not now.'], short: 'gone' } })
  return out
}

export function compare(was: Graph, is: Graph): Graph {
  return { ...is, nodes: pair<GraphNode>(was.nodes, is.nodes, n => n.in), edges: pair<GraphEdge>(was.edges, is.edges, e => e.traffic) }
}

// tally counts what is different.
export function tally(g: Graph): string {
  const of = (kind: string) => g.nodes.filter(n => n.change?.kind === kind).length + g.edges.filter(e => e.change?.kind === kind).length
  const parts = ['new', 'gone', 'changed'].map(k => [of(k), k] as const).filter(([n]) => n).map(([n, k]) => `${n} ${k}`)
  return parts.length ? parts.join(', ') : 'no difference worth naming'
}
