// Where nodes are: from callers on the left to what they call on the right, each namespace in a band of its own. The same graph gives the same picture.
import type { GraphEdge, GraphNode } from '../api'

export interface Point { x: number; y: number }
export type Places = Map<string, Point>

const across = 190, down = 96, between = 70

// deep is how many columns a picture may have. Where calls go round in circles the longest way says nothing, and the shortest counts.
const deep = 14

function distances(ids: string[], next: Map<string, string[]>, called: Set<string>): Map<string, number> {
  const rank = new Map<string, number>()
  for (const start of [...ids.filter(i => !called.has(i)), ...ids]) {
    if (rank.has(start)) continue
    rank.set(start, 0)
    for (let row = [start]; row.length;) {
      const after: string[] = []
      for (const id of row) for (const to of next.get(id)!) if (next.has(to) && !rank.has(to)) { rank.set(to, rank.get(id)! + 1); after.push(to) }
      row = after
    }
  }
  return rank
}

// ranks are lengths of the longest way from a caller; ways back are left out.
function ranks(ids: string[], edges: GraphEdge[]): Map<string, number> {
  const next = new Map<string, string[]>(ids.map(i => [i, []]))
  for (const e of edges) if (e.source !== e.target) next.get(e.source)?.push(e.target)
  const called = new Set(edges.filter(e => e.source !== e.target).map(e => e.target))
  const order: string[] = [], state = new Map<string, number>(), forward = new Map<string, string[]>(ids.map(i => [i, []]))
  const visit = (start: string) => {
    const stack: { id: string; i: number }[] = [{ id: start, i: 0 }]
    state.set(start, 1)
    while (stack.length) {
      const top = stack[stack.length - 1], to = next.get(top.id)![top.i++]
      if (to === undefined) { state.set(top.id, 2); order.push(top.id); stack.pop(); continue }
      if (!next.has(to) || state.get(to) === 1) continue
      forward.get(top.id)!.push(to)
      if (!state.has(to)) { state.set(to, 1); stack.push({ id: to, i: 0 }) }
    }
  }
  for (const id of [...ids.filter(i => !called.has(i)), ...ids]) if (!state.has(id)) visit(id)
  const rank = new Map(ids.map(i => [i, 0]))
  for (const id of order.reverse()) for (const to of forward.get(id)!) rank.set(to, Math.max(rank.get(to)!, rank.get(id)! + 1))
  return Math.max(0, ...rank.values()) > deep ? distances(ids, next, called) : rank
}

export function place(nodes: GraphNode[], edges: GraphEdge[]): Places {
  const ids = nodes.map(n => n.id)
  const rank = ranks(ids, edges)
  const bands = new Map<string, GraphNode[]>()
  for (const n of nodes) {
    const key = n.namespace ?? ''
    const band = bands.get(key)
    if (band) band.push(n)
    else bands.set(key, [n])
  }
  const mean = (ns: GraphNode[]) => ns.reduce((s, n) => s + rank.get(n.id)!, 0) / ns.length
  const ordered = [...bands].sort((a, b) => mean(a[1]) - mean(b[1]) || a[0].localeCompare(b[0]))
  const near = new Map<string, string[]>(ids.map(i => [i, []]))
  for (const e of edges) { near.get(e.source)?.push(e.target); near.get(e.target)?.push(e.source) }
  // Bands that share no column share a lane, so that a way through three namespaces is a line and not a staircase.
  const lanes: Band[][] = []
  for (const [, members] of ordered) {
    const band = arrange(members, rank, near)
    const lane = lanes.find(l => l.every(b => b.to < band.from || band.to < b.from))
    if (lane) lane.push(band)
    else lanes.push([band])
  }
  const places: Places = new Map()
  let top = 0
  let left = 0
  const rowsOf = (lane: Band[]) => Math.max(...lane.map(b => b.rows))
  const high = lanes.reduce((s, l) => s + rowsOf(l) * down + between, 0)
  const wide = (Math.max(...lanes.flat().map(b => b.to)) + 2) * across
  // A very tall picture is broken into several beside each other, as a text is into columns.
  const column = high / Math.max(1, Math.round(Math.sqrt(high / wide * 1.6)))
  for (const lane of lanes) {
    const rows = rowsOf(lane)
    if (top > 0 && top + (rows * down) / 2 > column && lanes.length > 3) { top = 0; left += wide }
    for (const b of lane) for (const [id, at] of b.at) places.set(id, { x: left + at.x * across, y: top + (at.y + (rows - b.rows) / 2) * down })
    top += rows * down + between
  }
  return places
}

// Band is one namespace: places in columns and rows.
interface Band { from: number; to: number; rows: number; at: Places }

function arrange(members: GraphNode[], rank: Map<string, number>, near: Map<string, string[]>): Band {
  const columns = new Map<number, GraphNode[]>()
  for (const n of members) columns.set(rank.get(n.id)!, [...(columns.get(rank.get(n.id)!) ?? []), n])
  // What is only called by one stays near it: each column follows the mean height of its neighbours, twice there and back.
  const height = new Map<string, number>()
  const keys = [...columns.keys()].sort((a, b) => a - b)
  for (const k of keys) columns.get(k)!.forEach((n, i) => height.set(n.id, i))
  for (let round = 0; round < 4; round++) {
    for (const k of round % 2 ? [...keys].reverse() : keys) {
      const column = columns.get(k)!
      const want = new Map(column.map(n => {
        const h = near.get(n.id)!.filter(i => height.has(i)).map(i => height.get(i)!)
        return [n.id, h.length ? h.reduce((s, x) => s + x, 0) / h.length : height.get(n.id)!]
      }))
      // Versions of one app stand together.
      const apps = new Map<string, number[]>()
      const app = (n: GraphNode) => n.app || n.id
      for (const n of column) apps.set(app(n), [...(apps.get(app(n)) ?? []), want.get(n.id)!])
      const middle = (n: GraphNode) => { const w = apps.get(app(n))!; return w.reduce((s, x) => s + x, 0) / w.length }
      column.sort((a, b) => middle(a) - middle(b) || app(a).localeCompare(app(b)) || want.get(a.id)! - want.get(b.id)! || a.id.localeCompare(b.id))
      column.forEach((n, i) => height.set(n.id, i - (column.length - 1) / 2))
    }
  }
  // Very tall columns are folded, so that a large namespace is a rectangle and not a line.
  const fold = Math.max(12, Math.ceil(Math.sqrt(members.length * 2)))
  const rows = Math.min(fold, Math.max(...[...columns.values()].map(c => c.length)))
  const band: Band = { from: keys[0], to: keys[keys.length - 1], rows, at: new Map() }
  let shift = 0
  for (const k of keys) {
    const column = columns.get(k)!
    column.forEach((n, i) => {
      const inFold = Math.min(fold, column.length - Math.floor(i / fold) * fold)
      band.at.set(n.id, { x: k + shift + Math.floor(i / fold), y: (i % fold) + (rows - inFold) / 2 })
    })
    shift += Math.ceil(column.length / fold) - 1
  }
  band.to += shift
  return band
}

// settle keeps what has a place where it is, and finds room for what is new.
export function settle(old: Places, nodes: GraphNode[], edges: GraphEdge[]): Places {
  const fresh = nodes.filter(n => !old.has(n.id))
  if (fresh.length === nodes.length) return place(nodes, edges)
  const out: Places = new Map(nodes.filter(n => old.has(n.id)).map(n => [n.id, old.get(n.id)!]))
  if (!fresh.length) return out
  const proposed = place(nodes, edges)
  for (const n of fresh) {
    const p = { ...proposed.get(n.id)! }
    while ([...out.values()].some(q => Math.abs(q.x - p.x) < across / 2 && Math.abs(q.y - p.y) < down * 0.7)) p.y += down
    out.set(n.id, p)
  }
  return out
}
