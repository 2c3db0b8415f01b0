// The graph as tables, for keyboards, screen readers, and whoever likes tables.
import type { Change, Graph, GraphEdge, GraphNode, State } from '../api'
import { flow, none, share, time } from '../format'
import { HealthMark, worstFirst } from '../parts/Health'
import { type Column, Table } from '../parts/Table'
import { nodeName } from './Panel'

const worst = (s: State) => worstFirst.indexOf(s)

export function GraphTable({ graph, nodes, edges, chosen, choose }: { graph: Graph; nodes: GraphNode[]; edges: GraphEdge[]; chosen: string; choose: (id: string) => void }) {
  const byId = new Map(graph.nodes.map(n => [n.id, n]))
  const name = (id: string) => { const n = byId.get(id); return n ? nodeName(n) : id }
  const compared = nodes.some(n => n.change) || edges.some(e => e.change)
  const change = <T extends { change?: Change }>(): Column<T>[] => (compared ? [{ name: 'Since then', words: true, sort: x => x.change?.kind ?? '~', cell: x => x.change && `${x.change.kind}: ${x.change.says.join('; ')}` }] : [])
  const nodeColumns: Column<GraphNode>[] = [
    { name: 'Name', heading: true, sort: nodeName, cell: n => <button type="button" className="as-link" onClick={() => choose(n.id)}>{nodeName(n)}</button> },
    { name: 'Health', sort: n => worst(n.health.state), cell: n => <HealthMark health={n.health} /> },
    ...change<GraphNode>(),
    { name: 'Kind', sort: n => n.kind, cell: n => n.kind },
    { name: 'Namespace', sort: n => n.namespace ?? '', cell: n => n.namespace ?? '' },
    { name: 'Requests', number: true, sort: n => n.in.rate, cell: n => flow(n.in) },
    { name: 'Errors', number: true, sort: n => n.in.errorRate, cell: n => (n.in.rate > 0 ? share(n.in.errorRate) : none) },
    { name: 'p50', number: true, sort: n => n.in.p50 ?? -1, cell: n => time(n.in.p50) },
    { name: 'p95', number: true, sort: n => n.in.p95 ?? -1, cell: n => time(n.in.p95) },
    { name: 'p99', number: true, sort: n => n.in.p99 ?? -1, cell: n => time(n.in.p99) },
    { name: 'Own time', number: true, sort: n => n.own ?? -1, cell: n => time(n.own), note: 'Median, without that of the slowest call that it makes' },
    { name: 'mTLS', number: true, sort: n => n.in.mtls ?? -1, cell: n => share(n.in.mtls) },
  ]
  const edgeColumns: Column<GraphEdge>[] = [
    { name: 'From', heading: true, sort: e => name(e.source), cell: e => <button type="button" className="as-link" onClick={() => choose(e.id)}>{name(e.source)}</button> },
    { name: 'To', sort: e => name(e.target), cell: e => name(e.target) },
    { name: 'Health', sort: e => worst(e.health.state), cell: e => <HealthMark health={e.health} /> },
    ...change<GraphEdge>(),
    { name: 'Protocol', sort: e => e.protocol, cell: e => e.protocol },
    { name: 'Traffic', number: true, sort: e => e.traffic.rate, cell: e => flow(e.traffic) },
    { name: 'Errors', number: true, sort: e => e.traffic.errorRate, cell: e => (e.traffic.rate > 0 ? share(e.traffic.errorRate) : none) },
    { name: 'p95', number: true, sort: e => e.traffic.p95 ?? -1, cell: e => time(e.traffic.p95) },
    { name: 'mTLS', number: true, sort: e => e.traffic.mtls ?? -1, cell: e => share(e.traffic.mtls) },
    { name: 'Flags', cell: e => Object.keys(e.traffic.flags ?? {}).sort().join(' ') },
  ]
  return (
    <div className="tables">
      <h2>Nodes</h2>
      <Table caption="Nodes of the graph" columns={nodeColumns} rows={nodes} id={n => n.id} first={{ column: 'Health', down: false }} chosen={chosen} />
      <h2>Edges</h2>
      <Table caption="Edges of the graph" columns={edgeColumns} rows={edges} id={e => e.id} first={{ column: 'Health', down: false }} chosen={chosen} />
    </div>
  )
}
