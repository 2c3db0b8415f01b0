// The drawing. It changes what has changed and leaves the rest where it is.
import cytoscape, { type Core, type ElementDefinition, type NodeSingular } from 'cytoscape'
import { useEffect, useMemo, useRef } from 'react'
import type { Badges, Graph, GraphEdge, GraphNode } from '../api'
import type { Query } from '../find'
import { time } from '../format'
import { badgesOf, drawBadges } from './badges'
import { edgeLabel, sent, slowest } from './labels'
import { type Places, place, settle } from './layout'
import { drawLocks } from './locks'
import { colours, icons, simple, stylesheet } from './style'

interface Props {
  graph: Graph; nodes: GraphNode[]; edges: GraphEdge[]; label: string; boxes: string; locks: boolean; badges?: Badges; find?: Query; chosen: string; dark: boolean
  again: number // counts how often a new layout was asked for
  onChoose: (id: string) => void
  summary: string
}

// boxOf is where a node is drawn in.
function boxOf(n: GraphNode, boxes: string): string | undefined {
  return boxes === 'none' ? undefined : [...(n.boxes ?? [])].reverse().find(b => b.startsWith(boxes + ':')) && (boxes === 'app' ? `app:${n.namespace}/${n.name}` : `${boxes}:${boxes === 'cluster' ? n.cluster : n.namespace}`)
}

const signs = { new: '+ ', gone: '− ', changed: 'Δ ' }

function title(n: GraphNode, slow: boolean): string {
  const name = (n.change ? signs[n.change.kind] : '') + (n.kind === 'app' && n.version ? `${n.name}\n${n.version}` : n.kind === 'unknown' ? 'outside' : n.name)
  return slow ? `${name}\nslow: ${time(n.own)}` : name
}

export function Canvas(p: Props) {
  const holder = useRef<HTMLDivElement>(null), overlay = useRef<HTMLCanvasElement>(null), core = useRef<Core | null>(null)
  const places = useRef<{ of: string; at: Places }>({ of: '', at: new Map() })
  const moved = useRef(false)
  const latest = useRef(p)
  latest.current = p

  const large = p.edges.length > simple
  useEffect(() => {
    const cy = cytoscape({ container: holder.current!, style: [], minZoom: 0.05, maxZoom: 2.5, boxSelectionEnabled: false, hideEdgesOnViewport: false, textureOnViewport: large, pixelRatio: 'auto' })
    core.current = cy
    // The tests ask the drawing what it shows.
    Object.assign(holder.current!, { cy })
    cy.on('tap', e => {
      if (e.target === cy) latest.current.onChoose('')
      else if (e.target.isEdge() || !e.target.isParent()) latest.current.onChoose(e.target.id())
    })
    cy.on('free', 'node', e => { places.current.at.set(e.target.id(), { ...e.target.position() }) })
    cy.on('render', () => decorate(cy, overlay.current!, latest.current))
    // While a large graph is moved it is a picture of itself, without what is drawn over it.
    let rest: number | undefined
    cy.on('viewport', () => {
      if (latest.current.edges.length <= simple) return
      overlay.current!.style.visibility = 'hidden'
      window.clearTimeout(rest)
      rest = window.setTimeout(() => { if (overlay.current) overlay.current.style.visibility = '' }, 250)
    })
    // Until somebody moves the picture it fits its frame.
    cy.on('dragpan scrollzoom pinchzoom free', () => { moved.current = true })
    const seen = new ResizeObserver(() => { cy.resize(); if (!moved.current) fit(cy) })
    seen.observe(holder.current!)
    return () => { seen.disconnect(); window.clearTimeout(rest); cy.destroy(); core.current = null }
  }, [large])

  useEffect(() => { core.current?.style(stylesheet(colours(), large)) }, [p.dark, large])

  const elements = useMemo(() => {
    const out: ElementDefinition[] = []
    // A box around one node says nothing.
    const members = new Map<string, number>()
    for (const n of p.nodes) { const b = boxOf(n, p.boxes); if (b) members.set(b, (members.get(b) ?? 0) + 1) }
    const boxes = new Set<string>(), slow = slowest(p.nodes), all = sent(p.graph)
    // What most nodes wear tells nothing.
    const entries = p.nodes.filter(n => badgesOf(n, p.badges).some(b => b.kind === 'workloadEntry')).length
    const badges = (n: GraphNode) => badgesOf(n, p.badges).map(b => b.kind).filter(k => k !== 'workloadEntry' || entries * 2 < p.nodes.length)
    for (const n of p.nodes) {
      const box = boxOf(n, p.boxes)
      const parent = box && (p.boxes !== 'app' || members.get(box)! > 1) ? box : undefined
      if (parent && !boxes.has(parent)) {
        boxes.add(parent)
        out.push({ group: 'nodes', data: { id: parent, label: parent.slice(parent.indexOf(':') + 1).split('/').pop() } })
      }
      out.push({ group: 'nodes', data: { id: n.id, parent, label: title(n, slow.has(n.id)), state: n.health.state, kind: n.kind, icon: icons[n.kind], badges: badges(n), change: n.change?.kind } })
    }
    for (const e of p.edges) {
      out.push({
        group: 'edges', data: {
          id: e.id, source: e.source, target: e.target, state: e.health.state, protocol: e.protocol, mtls: e.traffic.mtls, label: large ? '' : edgeLabel(e, p.label, all), change: e.change?.kind,
          width: large ? 0 : 1.4 + Math.min(4, Math.log10(1 + e.traffic.rate * 3)),
        },
      })
    }
    return out
  }, [p.nodes, p.edges, p.boxes, p.label, p.graph, p.badges, large])

  useEffect(() => {
    const cy = core.current!
    const of = `${p.graph.type}/${p.again}`
    const first = places.current.of !== of
    const kept = places.current.at
    const at = first ? place(p.nodes, p.edges) : settle(kept, p.nodes, p.edges)
    // What is hidden for a while comes back where it was.
    places.current = { of, at: first ? at : new Map([...kept, ...at]) }
    const there = new Set(elements.map(e => e.data.id!))
    cy.batch(() => {
      cy.elements().filter(e => !there.has(e.id()) && (e.isEdge() || !(e as NodeSingular).isParent())).remove()
      const added: ElementDefinition[] = []
      const moves: [string, string | null][] = [] // into boxes that may be new
      for (const e of elements) {
        const old = cy.getElementById(e.data.id!)
        const spot = e.group === 'nodes' ? at.get(e.data.id!) : undefined
        if (old.empty()) {
          added.push(spot ? { ...e, position: { ...spot } } : e)
          continue
        }
        const parent = (e.data.parent as string | undefined) ?? null
        if (e.group === 'nodes' && spot && (old.parent().first().id() ?? null) !== parent) moves.push([e.data.id!, parent])
        if (differs(old.data(), e.data)) old.data(e.data)
        if (first && spot) old.position({ ...spot })
      }
      cy.add(added)
      for (const [id, parent] of moves) cy.getElementById(id).move({ parent })
      cy.nodes().filter(n => !there.has(n.id()) && n.children().empty()).remove()
    })
    if (first) moved.current = false
    if (!moved.current) fit(cy)
  }, [elements, p.again, p.graph.type, p.nodes, p.edges, large])

  useEffect(() => {
    const cy = core.current!
    cy.batch(() => {
      cy.elements('.dim, .found, .chosen').removeClass('dim found chosen')
      if (p.find) {
        const found = new Set([...p.nodes.filter(p.find.node), ...p.edges.filter(p.find.edge)].map(x => x.id))
        cy.elements().forEach(e => { if (!e.isNode() || !e.isParent()) e.addClass(found.has(e.id()) ? 'found' : 'dim') })
      }
      if (p.chosen) cy.getElementById(p.chosen).addClass('chosen')
    })
  }, [elements, p.find, p.chosen, p.nodes, p.edges])

  useEffect(() => { core.current?.forceRender() }, [p.locks, p.badges, p.dark])

  return (
    <div className="drawing">
      <div className="drawing-graph" ref={holder} role="img" aria-label={p.summary} />
      <canvas className="drawing-locks" ref={overlay} aria-hidden="true" />
      <div className="zoom" role="group" aria-label="Size of the graph">
        <button type="button" aria-label="Larger" onClick={() => zoom(core.current, 1.3)}>+</button>
        <button type="button" aria-label="Smaller" onClick={() => zoom(core.current, 1 / 1.3)}>−</button>
        <button type="button" onClick={() => { moved.current = false; fit(core.current) }}>Fit</button>
      </div>
    </div>
  )
}

// decorate draws what cytoscape has no word for.
function decorate(cy: Core, canvas: HTMLCanvasElement, p: Props) {
  const c = colours(), ratio = window.devicePixelRatio || 1
  const w = cy.width(), h = cy.height()
  if (canvas.width !== Math.round(w * ratio) || canvas.height !== Math.round(h * ratio)) {
    canvas.width = Math.round(w * ratio)
    canvas.height = Math.round(h * ratio)
  }
  const g = canvas.getContext('2d')
  if (!g) return
  g.setTransform(ratio, 0, 0, ratio, 0, 0)
  g.clearRect(0, 0, w, h)
  if (p.locks && p.edges.length <= simple) drawLocks(cy, g, { secure: c.text, plain: c.states.degraded, surface: c.surface })
  if (p.badges) drawBadges(cy, g, { text: c.text, surface: c.surface, line: c.line, warning: c.states.degraded })
}

// differs says whether an element must be drawn anew.
function differs(old: Record<string, unknown>, now: Record<string, unknown>): boolean {
  return Object.keys(now).some(k => k !== 'parent' && old[k] !== now[k] && String(old[k]) !== String(now[k]))
}

// fit shows all, but makes nothing larger than life.
function fit(cy: Core | null) {
  if (!cy || cy.elements().empty()) return
  cy.fit(undefined, 30)
  if (cy.zoom() > 1.25) { cy.zoom(1.25); cy.center() }
}

function zoom(cy: Core | null, by: number) {
  cy?.zoom({ level: cy.zoom() * by, renderedPosition: { x: cy.width() / 2, y: cy.height() / 2 } })
}
