// Locks on edges: closed where all came by mutual TLS, open where nothing did, half where some did. They are drawn over the graph, because edges take no pictures.
import type { Core } from 'cytoscape'

const body = new Path2D('M-5 -1h10v8h-10z')
const closed = new Path2D('M-3 -1v-3a3 3 0 0 1 6 0v3')
const open = new Path2D('M-3 -1v-3a3 3 0 0 1 6 0v.6')

export function drawLocks(cy: Core, g: CanvasRenderingContext2D, colour: { secure: string; plain: string; surface: string }) {
  const w = cy.width(), h = cy.height()
  const zoom = cy.zoom(), pan = cy.pan()
  if (zoom < 0.45) return // too small to be seen
  cy.edges(':visible').forEach(e => {
    const mtls = e.data('mtls') as number | null
    if (mtls === null || e.hasClass('dim')) return
    const a = e.sourceEndpoint(), m = e.midpoint()
    // A quarter of the way: the middle is the label's.
    const x = (a.x + (m.x - a.x) * 0.55) * zoom + pan.x, y = (a.y + (m.y - a.y) * 0.55) * zoom + pan.y
    if (x < 0 || y < 0 || x > w || y > h) return
    const secure = mtls > 0.999
    g.save()
    g.translate(x, y)
    g.scale(Math.min(1, zoom), Math.min(1, zoom))
    g.fillStyle = colour.surface
    g.beginPath(); g.arc(0, 0, 9.5, 0, 7); g.fill()
    g.strokeStyle = g.fillStyle = secure ? colour.secure : colour.plain
    g.lineWidth = 1.7
    if (secure) { g.fill(body); g.stroke(closed) }
    else { g.translate(0, 0); g.stroke(body); g.save(); g.translate(3.6, -0.6); g.stroke(open); g.restore() }
    g.restore()
  })
}
