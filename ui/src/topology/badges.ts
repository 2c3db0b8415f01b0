// What configures a node, as small pictures beside it: Kiali's vocabulary. They are drawn over the graph, as the locks are.
import type { Core } from 'cytoscape'
import type { Badge, Badges, GraphNode } from '../api'

export const badgeNames: Record<string, string> = {
  missingSidecar: 'Missing sidecar', circuitBreaker: 'Circuit breaker', faultInjection: 'Fault injection', mirroring: 'Mirroring', requestTimeout: 'Request timeout',
  trafficShifting: 'Traffic shifting', tcpTrafficShifting: 'TCP traffic shifting', requestRouting: 'Request routing', virtualService: 'Virtual service', gateway: 'Gateway', workloadEntry: 'Workload entry',
}

// Each in a square of 16.
export const badgePaths: Record<string, string> = {
  missingSidecar: 'M8 2.5 13.5 5.5v5L8 13.5 2.5 10.5v-5zM8 5.5v3M8 10.6v.2',
  circuitBreaker: 'M9 2 4.5 9H8l-1 5 4.5-7H8z',
  faultInjection: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M4.2 4.2l7.6 7.6',
  mirroring: 'M3 5h8M8.5 2.5 11 5 8.5 7.5M3 11h8M8.5 8.5 11 11l-2.5 2.5',
  requestTimeout: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M8 5v3l2.2 1.5',
  trafficShifting: 'M3 8h3l3-4h4M6 8l3 4h4M11.5 2.5 13 4l-1.5 1.5M11.5 10.5 13 12l-1.5 1.5',
  tcpTrafficShifting: 'M3 8h3l3-4h4M6 8l3 4h4M11 4h2M11 12h2',
  requestRouting: 'M3 12V8h8V4M8.5 6 11 3.5 13.5 6M3 13.5v-.1',
  virtualService: 'M5 3v10M5 10c0-3 6-2 6-6M5 3m-1.5 0a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0M9.5 4a1.5 1.5 0 1 0 3 0 1.5 1.5 0 1 0-3 0',
  gateway: 'M8 2.5a5.5 5.5 0 1 0 0 11 5.5 5.5 0 1 0 0-11M2.5 8h11M8 2.5c-4 4-4 7 0 11M8 2.5c4 4 4 7 0 11',
  workloadEntry: 'M2.5 3.5h11v7h-11zM5.5 13h5M8 10.5V13',
}

export function badgesOf(n: GraphNode, all: Badges | undefined): Badge[] {
  return n.kind === 'unknown' ? [] : all?.[`${n.kind}:${n.namespace ?? ''}/${n.name}`] ?? []
}

const shapes = Object.fromEntries(Object.entries(badgePaths).map(([k, d]) => [k, new Path2D(d)]))
const most = 3 // of one node; the panel has them all

export function drawBadges(cy: Core, g: CanvasRenderingContext2D, colour: { text: string; surface: string; line: string; warning: string }) {
  const zoom = cy.zoom(), pan = cy.pan(), w = cy.width(), h = cy.height()
  if (zoom < 0.45) return
  cy.nodes(':childless').forEach(n => {
    const kinds = n.data('badges') as string[] | undefined
    if (!kinds?.length || n.hasClass('dim')) return
    const at = n.position(), size = n.width() / 2
    kinds.slice(0, most).forEach((k, i) => {
      const x = (at.x + size * 0.72) * zoom + pan.x + i * 19 * Math.min(1, zoom), y = (at.y - size * 0.85) * zoom + pan.y
      if (x < 0 || y < 0 || x > w || y > h) return
      g.save()
      g.translate(x, y)
      g.scale(Math.min(1, zoom), Math.min(1, zoom))
      g.fillStyle = colour.surface
      g.strokeStyle = colour.line
      g.lineWidth = 1
      g.beginPath(); g.arc(0, 0, 9, 0, 7); g.fill(); g.stroke()
      g.translate(-6.4, -6.4)
      g.scale(0.8, 0.8)
      g.strokeStyle = k === 'missingSidecar' || k === 'faultInjection' ? colour.warning : colour.text
      g.lineWidth = 1.5
      g.lineJoin = g.lineCap = 'round'
      g.stroke(shapes[k])
      g.restore()
    })
  })
}
