// The language of find and hide: a useful part of Kiali's. Terms are joined by AND and OR; OR binds tighter, there are no parentheses.
import type { GraphEdge, GraphNode } from './api'

type Test<T> = (x: T) => boolean
interface Term { node?: Test<GraphNode>; edge?: Test<GraphEdge> }
export interface Query { node: Test<GraphNode>; edge: Test<GraphEdge>; error?: string }

const nothing: Query = { node: () => false, edge: () => false }

type Value<T> = (x: T) => string | number | null | undefined
const nodeValues: Record<string, Value<GraphNode>> = {
  name: n => n.name, namespace: n => n.namespace ?? '', cluster: n => n.cluster ?? '', version: n => n.version ?? '', node: n => n.kind, health: n => n.health.state,
  workload: n => (n.kind === 'workload' ? n.name : ''), service: n => (n.kind === 'service' ? n.name : ''), app: n => n.app ?? (n.kind === 'app' ? n.name : ''),
  own: n => n.own, httpin: n => n.in.rate, httpout: n => n.out.rate, '%errorin': n => n.in.errorRate * 100, '%errorout': n => n.out.errorRate * 100,
}
const edgeValues: Record<string, Value<GraphEdge>> = {
  http: e => (e.protocol === 'tcp' ? 0 : e.traffic.rate), '%httperr': e => (e.traffic.errorRate + e.traffic.clientErrorRate) * 100, '%error': e => e.traffic.errorRate * 100,
  responsetime: e => e.traffic.p95, p50: e => e.traffic.p50, p95: e => e.traffic.p95, p99: e => e.traffic.p99, protocol: e => e.protocol, '%mtls': e => (e.traffic.mtls === null ? null : e.traffic.mtls * 100),
  throughput: e => e.traffic.requestBytes + e.traffic.responseBytes, sni: e => (e.services ?? []).join(' '), host: e => (e.services ?? []).join(' '), flag: e => Object.keys(e.traffic.flags ?? {}).join(' '),
}
const nodeWords: Record<string, Test<GraphNode>> = {
  healthy: n => n.health.state === 'healthy', degraded: n => n.health.state === 'degraded', failing: n => n.health.state === 'failing', idle: n => n.health.state === 'idle',
  outside: n => n.kind === 'unknown', root: n => n.in.rate === 0 && n.in.connections === 0,
  new: n => n.change?.kind === 'new', gone: n => n.change?.kind === 'gone', changed: n => !!n.change,
}
const edgeWords: Record<string, Test<GraphEdge>> = {
  mtls: e => (e.traffic.mtls ?? 0) > 0.999, traffic: e => e.health.state !== 'idle', tcp: e => e.protocol === 'tcp', grpc: e => e.protocol === 'grpc',
}
const short: Record<string, string> = {
  ns: 'namespace', wl: 'workload', svc: 'service', rt: 'responsetime', cl: 'cluster', v: 'version', unhealthy: 'failing', failure: 'failing', warn: 'degraded', '%err': '%error', '%http': '%httperr', unknown: 'outside',
}

export const examples = ['failing', 'name contains cat', 'ns = shop AND !healthy', '%error > 5', 'own > 50', 'rt > 100', '!mtls', 'httpin > 1 OR idle', 'protocol = tcp']
export const words = [...Object.keys(nodeValues), ...Object.keys(edgeValues), ...Object.keys(nodeWords), ...Object.keys(edgeWords)].sort()

const comparison = /^(\S+?)\s*(!=|>=|<=|=|>|<|\s!?(?:contains|startswith|endswith)\s)\s*(.+)$/i

function compare(a: string | number | null | undefined, op: string, b: string): boolean {
  if (a === null || a === undefined) return false
  if (typeof a === 'number') {
    const n = Number(b)
    switch (op) {
      case '=': return a === n
      case '!=': return a !== n
      case '>': return a > n
      case '>=': return a >= n
      case '<': return a < n
      default: return a <= n
    }
  }
  const s = a.toLowerCase(), w = b.toLowerCase()
  switch (op) {
    case '=': return s === w
    case '!=': return s !== w
    case 'contains': return s.includes(w)
    case 'startswith': return s.startsWith(w)
    default: return s.endsWith(w)
  }
}

function not<T>(t?: Test<T>): Test<T> | undefined { return t && (x => !t(x)) }

function term(text: string): Term | string {
  let negated = false
  let rest = text.trim()
  const lead = /^(!|not\s+)\s*/i.exec(rest)
  if (lead) { negated = true; rest = rest.slice(lead[0].length) }
  const finish = (t: Term): Term => (negated ? { node: not(t.node), edge: not(t.edge) } : t)
  const c = comparison.exec(rest)
  if (!c) {
    const word = short[rest.toLowerCase()] ?? rest.toLowerCase()
    if (nodeWords[word]) return finish({ node: nodeWords[word] })
    if (edgeWords[word]) return finish({ edge: edgeWords[word] })
    if (/\s/.test(rest)) return `“${rest}” is not a term; write as in: ${examples[1]}`
    return finish({ node: n => n.name.toLowerCase().includes(rest.toLowerCase()) })
  }
  let op = c[2].trim().toLowerCase()
  if (op.startsWith('!') && op !== '!=') { negated = !negated; op = op.slice(1) }
  const name = short[c[1].toLowerCase()] ?? c[1].toLowerCase()
  const value = c[3].trim()
  const nv = nodeValues[name], ev = edgeValues[name]
  if (!nv && !ev) return `“${c[1]}” is not known; there are ${words.join(', ')}`
  if (['>', '>=', '<', '<='].includes(op) && Number.isNaN(Number(value))) return `“${value}” is not a number`
  return finish(nv ? { node: n => compare(nv(n), op, value) } : { edge: e => compare(ev(e), op, value) })
}

// parse gives what matches; an error says in one sentence what to write instead. An empty text matches nothing.
export function parse(text: string): Query {
  if (!text.trim()) return nothing
  const groups: Term[][] = []
  for (const and of text.split(/\s+AND\s+|\s*&&\s*/i)) {
    const any: Term[] = []
    for (const or of and.split(/\s+OR\s+|\s*\|\|\s*/i)) {
      if (!or.trim()) return { ...nothing, error: 'A term is missing beside AND or OR.' }
      const t = term(or)
      if (typeof t === 'string') return { ...nothing, error: t }
      any.push(t)
    }
    groups.push(any)
  }
  if (groups.length > 1 && groups.some(g => g.some(t => t.node)) && groups.some(g => g.some(t => t.edge)))
    return { ...nothing, error: 'Terms about nodes and terms about edges cannot be joined by AND: nothing is both.' }
  return {
    node: n => groups.every(g => g.some(t => t.node?.(n) ?? false)),
    edge: e => groups.every(g => g.some(t => t.edge?.(e) ?? false)),
  }
}
