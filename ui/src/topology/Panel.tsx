// What is known of the chosen node or edge.
import type { Badges, Change, Graph, GraphEdge, GraphNode, Rates, Traffic } from '../api'
import { bytes, none, rate, share, time } from '../format'
import { Command, quote } from '../parts/Command'
import { HealthMark, Mark } from '../parts/Health'
import { Link } from '../parts/Link'
import { badgeNames, badgePaths, badgesOf } from './badges'

const kinds = { workload: 'Workload', app: 'App', service: 'Service', unknown: 'Callers from outside' }

export function nodeName(n: GraphNode): string {
  return n.kind === 'unknown' ? 'outside' : n.version && n.kind === 'app' ? `${n.name} ${n.version}` : n.name
}

export function Panel({ graph, badges, id, choose }: { graph: Graph; badges?: Badges; id: string; choose: (id: string) => void }) {
  const node = graph.nodes.find(n => n.id === id), edge = graph.edges.find(e => e.id === id)
  const name = (i: string) => { const n = graph.nodes.find(n => n.id === i); return n ? nodeName(n) : i }
  return (
    <aside className="panel" aria-label="Details">
      <header>
        <div>
          {node && <><p className="kind">{kinds[node.kind]}{node.namespace && <> in <b>{node.namespace}</b></>}</p><h2>{nodeName(node)}</h2></>}
          {edge && <><p className="kind">{edge.protocol.toUpperCase()} from</p><h2>{name(edge.source)} <span aria-label="to">→</span> {name(edge.target)}</h2></>}
          {!node && !edge && <h2>Not there now</h2>}
        </div>
        <button type="button" className="button small" aria-label="Close the details" onClick={() => choose('')}>✕</button>
      </header>
      {!node && !edge && <p>{id} had no traffic in this window.</p>}
      {(node ?? edge)?.change && <Changed change={(node ?? edge)!.change!} />}
      {node && <NodeDetails n={node} badges={badges} g={graph} name={name} choose={choose} />}
      {edge && <EdgeDetails e={edge} g={graph} name={name} choose={choose} />}
    </aside>
  )
}

function NodeDetails({ n, badges, g, name, choose }: { n: GraphNode; badges?: Badges; g: Graph; name: (id: string) => string; choose: (id: string) => void }) {
  const callers = g.edges.filter(e => e.target === n.id), called = g.edges.filter(e => e.source === n.id)
  const label = n.kind === 'workload' ? `destination_workload="${n.name}",destination_workload_namespace="${n.namespace ?? ''}"`
    : n.kind === 'service' ? `destination_service_name="${n.name}",destination_service_namespace="${n.namespace ?? ''}"` : `destination_canonical_service="${n.app || n.name}"`
  return (
    <>
      <Verdict health={n.health} />
      {n.kind !== 'unknown' && <><h3>What it is asked</h3><Signals t={n.in} own={n.own} /></>}
      <Edges title="Callers" edges={callers} name={e => name(e.source)} choose={choose} />
      <Edges title="Calls" edges={called} name={e => name(e.target)} choose={choose} />
      <Configured badges={badgesOf(n, badges)} />
      {n.kind !== 'unknown' && <><Breakdown t={n.in} />
        <dl className="facts">
          {n.app && n.kind !== 'app' && <div><dt>App</dt><dd>{n.app}</dd></div>}{n.version && n.kind !== 'app' && <div><dt>Version</dt><dd>{n.version}</dd></div>}
          {n.cluster && <div><dt>Cluster</dt><dd>{n.cluster}</dd></div>}
        </dl>
        <Command text={`heddle query ${quote(`sum by (reporter, response_code, response_flags) (rate(istio_requests_total{${label}}[${g.window}s]))`)}`} /></>}
    </>
  )
}

function EdgeDetails({ e, g, name, choose }: { e: GraphEdge; g: Graph; name: (id: string) => string; choose: (id: string) => void }) {
  const source = g.nodes.find(n => n.id === e.source), target = g.nodes.find(n => n.id === e.target)
  const end = (n: GraphNode | undefined, side: string) => !n || n.kind === 'unknown' ? `${side}_workload="unknown"` : n.kind === 'workload' ? `${side}_workload="${n.name}"`
    : n.kind === 'service' && side === 'destination' ? `destination_service_name="${n.name}"` : `${side}_canonical_service="${n.app || n.name}"`
  const metric = e.protocol === 'tcp' ? 'istio_tcp_connections_opened_total' : 'istio_requests_total'
  return (
    <>
      <Verdict health={e.health} />
      <Signals t={e.traffic} />
      <Breakdown t={e.traffic} />
      <dl className="facts">
        {e.services?.length ? <div><dt>Asked for</dt><dd>{e.services.join(', ')}</dd></div> : null}
        <div><dt>Measured by</dt><dd>the proxy of the {e.reporter === 'source' ? 'caller' : 'called'}</dd></div>
        <div><dt>Ends</dt><dd><button type="button" className="as-link" onClick={() => choose(e.source)}>{name(e.source)}</button> → <button type="button" className="as-link" onClick={() => choose(e.target)}>{name(e.target)}</button></dd></div>
      </dl>
      <Command text={`heddle query ${quote(`sum by (response_code, response_flags) (rate(${metric}{reporter="${e.reporter}",${end(source, 'source')},${end(target, 'destination')}}[${g.window}s]))`)}`} />
    </>
  )
}

function Changed({ change }: { change: Change }) {
  return <section className="changed"><h3>Since then</h3><ul>{change.says.map(s => <li key={s}>{s}</li>)}</ul></section>
}

function Configured({ badges }: { badges: ReturnType<typeof badgesOf> }) {
  if (!badges.length) return null
  return (
    <section>
      <h3>Configured by</h3>
      <ul className="badges">{badges.map(b => (
        <li key={b.kind}>
          <svg viewBox="0 0 16 16" width="16" height="16" aria-hidden="true"><path d={badgePaths[b.kind]} /></svg>
          <span>{badgeNames[b.kind] ?? b.kind}{b.objects?.map(o => <Link key={o} to={`/config?object=${encodeURIComponent(o)}`}> {o.split('/').slice(1).join('/')}</Link>)}</span>
        </li>
      ))}</ul>
    </section>
  )
}

function Verdict({ health }: { health: GraphNode['health'] }) {
  return <p className={`verdict ${health.state}`}><HealthMark health={health} /><span>{health.reason}</span></p>
}

function Signals({ t, own }: { t: Traffic; own?: number | null }) {
  const http = t.rate > 0 || !t.connections && !t.requestBytes
  return (
    <dl className="signals">
      {http ? <>
        <div><dt>Requests</dt><dd>{rate(t.rate)}</dd></div>
        <div className={t.errorRate > 0 ? 'bad' : ''}><dt>Errors</dt><dd>{share(t.errorRate)}</dd></div>
        <div><dt>Median</dt><dd>{time(t.p50)}</dd></div>
        <div><dt>95 %</dt><dd>{time(t.p95)}</dd></div>
        <div><dt>99 %</dt><dd>{time(t.p99)}</dd></div>
        {own !== undefined && own !== null && <div title="Median, without that of the slowest call that it makes"><dt>Of that its own</dt><dd>{time(own)}</dd></div>}
      </> : <div><dt>Connections</dt><dd>{rate(t.connections)}</dd></div>}
      <div className={t.mtls !== null && t.mtls < 0.999 ? 'bad' : ''}><dt>Mutual TLS</dt><dd>{share(t.mtls)}</dd></div>
      <div><dt>{http ? 'Requests' : 'Received'}</dt><dd>{bytes(t.requestBytes)}</dd></div>
      <div><dt>{http ? 'Responses' : 'Sent'}</dt><dd>{bytes(t.responseBytes)}</dd></div>
    </dl>
  )
}

function Edges({ title, edges, name, choose }: { title: string; edges: GraphEdge[]; name: (e: GraphEdge) => string; choose: (id: string) => void }) {
  if (!edges.length) return null
  return (
    <section>
      <h3>{title}</h3>
      <ul className="edges">{edges.map(e => (
        <li key={e.id}><button type="button" onClick={() => choose(e.id)} title={e.health.reason}>
          <Mark state={e.health.state} /><span className="edge-name">{name(e)}</span>
          <span className="edge-rate">{e.protocol === 'tcp' ? bytes(e.traffic.requestBytes + e.traffic.responseBytes) : rate(e.traffic.rate)}</span>
          <span className="edge-time">{e.protocol === 'tcp' ? 'tcp' : time(e.traffic.p95)}</span>
        </button></li>
      ))}</ul>
    </section>
  )
}

function Breakdown({ t }: { t: Traffic }) {
  return <><Bars title="Answers" rates={t.codes} of={t.rate} name={c => (c === '-' ? 'no response' : c)} bad={c => c === '-' || c[0] === '5' || c[0] === '4'} />
    <Bars title="gRPC status" rates={t.grpcStatuses} of={t.rate} name={c => c} bad={c => c !== '0'} />
    <Bars title="Response flags" rates={t.flags} of={t.rate || t.connections} name={c => c} bad={() => true} /></>
}

function Bars({ title, rates, of, name, bad }: { title: string; rates?: Rates; of: number; name: (k: string) => string; bad: (k: string) => boolean }) {
  const all = Object.entries(rates ?? {}).sort((a, b) => b[1] - a[1])
  if (!all.length) return null
  return (
    <section>
      <h3>{title}</h3>
      <ul className="bars">{all.map(([k, v]) => (
        <li key={k}><span className="bar-name">{name(k)}</span><meter className={bad(k) ? 'bad' : ''} min={0} max={1} value={of ? v / of : 0} aria-label={name(k)} /><span className="bar-value">{of ? share(v / of) : none}</span></li>
      ))}</ul>
    </section>
  )
}
