// What stands on edges.
import type { Graph, GraphEdge, GraphNode } from '../api'
import { bytes, none, rate, share, time } from '../format'

export const edgeLabels = {
  rate: 'Rate', error: 'Errors', p50: 'Median time', p95: '95th percentile', p99: '99th percentile', part: 'Share of traffic', bytes: 'Throughput', mtls: 'Mutual TLS', none: 'Nothing',
} as const
export type EdgeLabel = keyof typeof edgeLabels

// sent is how much each node sends, for shares.
export function sent(g: Graph): Map<string, number> {
  const out = new Map<string, number>()
  for (const e of g.edges) out.set(e.source, (out.get(e.source) ?? 0) + e.traffic.rate)
  return out
}

export function edgeLabel(e: GraphEdge, label: string, all: Map<string, number>): string {
  const t = e.traffic
  if (e.change?.short) return e.change.short
  if (e.health.state === 'idle') return ''
  switch (label) {
    case 'rate': return e.protocol === 'tcp' ? bytes(t.requestBytes + t.responseBytes) : rate(t.rate)
    case 'error': return t.errorRate + t.clientErrorRate > 0 ? share(t.errorRate + t.clientErrorRate) : ''
    case 'p50': case 'p95': case 'p99': return t[label] === null ? '' : time(t[label])
    case 'part': {
      const whole = all.get(e.source) ?? 0
      return whole > 0 && t.rate > 0 ? share(t.rate / whole) : ''
    }
    case 'bytes': return bytes(t.requestBytes + t.responseBytes)
    case 'mtls': return share(t.mtls).replace(none, '')
  }
  return ''
}

// slowest are up to three nodes that add most time of their own, if it is time that people notice.
export function slowest(nodes: GraphNode[]): Set<string> {
  const slow = nodes.filter(n => (n.own ?? 0) >= 50).sort((a, b) => b.own! - a.own! || a.id.localeCompare(b.id))
  return new Set(slow.slice(0, 3).filter(n => n.own! >= slow[0].own! / 3).map(n => n.id))
}
