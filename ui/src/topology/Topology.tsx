import { useDeferredValue, useMemo, useState } from 'react'
import { type Badges, type Graph, type GraphNode, type State, usePoll } from '../api'
import { examples, parse, type Query, words } from '../find'
import { count } from '../format'
import { Choice } from '../parts/Choice'
import { Command, quote } from '../parts/Command'
import { Mark, stateNames, worstFirst } from '../parts/Health'
import { Empty, Loading, Notice, sentence, Trouble } from '../parts/States'
import { useParam } from '../route'
import { Canvas } from './Canvas'
import { compare, tally } from './compare'
import { GraphTable } from './GraphTable'
import { edgeLabels } from './labels'
import { clock, Moments } from './Moments'
import { nodeName, Panel } from './Panel'

const types = { workload: 'Workloads', app: 'Apps', versionedApp: 'Versioned apps', service: 'Services' }
const boxNames = { namespace: 'Namespace', app: 'App', cluster: 'Cluster', none: 'None' }
export const windows = { '30s': '30 seconds', '1m': '1 minute', '5m': '5 minutes', '15m': '15 minutes', '1h': '1 hour', '6h': '6 hours' }
const many = 300

export function Topology({ every, dark }: { every: number; dark: boolean }) {
  const [type, setType] = useParam('type', 'workload')
  const [window, setWindow] = useParam('window', '1m')
  const [namespaces, setNamespaces] = useParam('namespaces', '')
  const [label, setLabel] = useParam('label', 'rate')
  const [boxes, setBoxes] = useParam('boxes', 'namespace')
  const [view, setView] = useParam('view', 'graph')
  const [find, setFind] = useParam('find', '')
  const [hide, setHide] = useParam('hide', '')
  const [chosen, choose] = useParam('chosen', '')
  const [locks, setLocks] = useParam('locks', 'on')
  const [all, setAll] = useParam('all', '')
  const [badged, setBadged] = useParam('badges', 'on')
  const [at] = useParam('at', '')
  const [versus] = useParam('versus', '')
  const [again, layout] = useState(0)
  const query = new URLSearchParams({ type, window, ...(namespaces && { namespaces }) })
  // A moment that is over does not change.
  const { data: then, error: thenError } = usePoll<Graph>(versus ? `/api/graph?${query}&time=${versus}` : '', 0)
  const { data: is, error: isError, loading, again: retry } = usePoll<Graph>(`/api/graph?${query}${at && `&time=${at}`}`, at ? 0 : every)
  const error = isError ?? thenError
  const graph = useMemo(() => (is && versus && then ? compare(then, is) : is), [is, then, versus])
  const { data: badges } = usePoll<Badges>('/api/badges', Math.max(every, 10000))
  const found = useMemo(() => parse(find), [find]), hidden = useMemo(() => parse(hide), [hide])
  const shown = useMemo(() => (graph ? without(graph, hidden) : { nodes: [], edges: [] }), [graph, hidden])
  const drawn = useDeferredValue(shown)
  const tooMany = view === 'graph' && !all && shown.nodes.length > many
  const matches = find && !found.error ? shown.nodes.filter(found.node).length + shown.edges.filter(found.edge).length : 0
  return (
    <div className="topology">
      <div className="tools" role="toolbar" aria-label="What the graph shows">
        <Choice label="Show" value={type} options={types} onChange={setType} />
        <Choice label="Of the last" value={window} options={windows} onChange={setWindow} />
        <Choice label="On edges" value={label} options={edgeLabels} onChange={setLabel} />
        <Choice label="Boxes" value={boxes} options={boxNames} onChange={setBoxes} />
        <Term label="Find" value={find} onChange={setFind} query={found} note={find && !found.error ? count(matches, 'match', 'matches') : undefined} />
        <Term label="Hide" value={hide} onChange={setHide} query={hidden} />
        <div className="views" role="group" aria-label="View">
          <button type="button" aria-pressed={locks === 'on'} onClick={() => setLocks(locks === 'on' ? 'off' : 'on')} title="Closed: all by mutual TLS. Open: some or all in plain text.">Locks</button>
          <button type="button" aria-pressed={badged === 'on'} onClick={() => setBadged(badged === 'on' ? 'off' : 'on')} title="What configures a node: circuit breaker, fault injection, routing, a missing sidecar and others. The details name each.">Badges</button>
          <button type="button" onClick={() => layout(again + 1)} disabled={view !== 'graph'}>Arrange</button>
          <button type="button" className="joined" aria-pressed={view === 'graph'} onClick={() => setView('graph')}>Graph</button>
          <button type="button" className="joined" aria-pressed={view === 'table'} onClick={() => setView('table')}>Table</button>
        </div>
      </div>
      <Moments every={every} loading={loading} />
      {versus && graph && <Notice>Compared with {clock(Number(versus))}: {tally(graph)}. Find takes <button type="button" className="as-link" onClick={() => setFind(find === 'changed' ? '' : 'changed')}>changed</button>, new and gone.</Notice>}
      {graph && graph.nodes.length > 0 && graph.warnings?.map(w => <Notice key={w}>{w}</Notice>)}
      {namespaces && <Notice>Only traffic of {namespaces.split(',').join(', ')}. <button type="button" className="as-link" onClick={() => setNamespaces('')}>Show all namespaces</button></Notice>}
      {error && graph && <Notice>{sentence(error.message)} What you see is of {new Date(graph.time).toLocaleTimeString()}.</Notice>}
      <div className="stage">
        <div className="stage-main">
          {!graph && error && <Trouble error={error} again={retry} />}
          {!graph && !error && <Loading what="the traffic of the mesh" />}
          {graph && !graph.nodes.length && <Empty title="No traffic yet"><p>{graph.warnings?.[0] ?? 'Nothing was asked in this window.'} {at ? 'Choose another moment, or a longer window.' : 'Choose a longer window, or make a request.'}</p></Empty>}
          {graph && graph.nodes.length > 0 && !shown.nodes.length && <Empty title="All is hidden"><p>“{hide}” hides every node.</p><button type="button" className="button" onClick={() => setHide('')}>Hide nothing</button></Empty>}
          {graph && tooMany && <Filter nodes={shown.nodes} choose={setNamespaces} draw={() => setAll('yes')} />}
          {graph && shown.nodes.length > 0 && view === 'table' && <GraphTable graph={graph} {...shown} chosen={chosen} choose={choose} />}
          {graph && drawn.nodes.length > 0 && view !== 'table' && !tooMany && (
            <Canvas graph={graph} {...drawn} label={label} boxes={boxes} locks={locks === 'on'} badges={badged === 'on' ? badges : undefined} find={find && !found.error ? found : undefined} chosen={chosen} onChoose={choose} again={again} dark={dark} summary={summary(shown.nodes)} />
          )}
          {graph && shown.nodes.length > 0 && <Legend nodes={shown.nodes} setFind={setFind} find={find} />}
        </div>
        {graph && chosen && <Panel graph={graph} badges={badges} id={chosen} choose={choose} />}
      </div>
      <Command text={`heddle query ${at ? `--time ${new Date(Number(at) * 1000).toISOString().slice(0, 19)}Z ` : ''}${quote(`sum by (source_workload, destination_workload, response_code) (rate(istio_requests_total{reporter="source"}[${window}]))`)}`} />
    </div>
  )
}

// without takes away what is hidden, and edges that have lost an end.
function without(g: Graph, q: Query) {
  const nodes = g.nodes.filter(n => !q.node(n))
  const there = new Set(nodes.map(n => n.id))
  return { nodes, edges: g.edges.filter(e => !q.edge(e) && there.has(e.source) && there.has(e.target)) }
}

function summary(nodes: GraphNode[]): string {
  const names = (s: State) => nodes.filter(n => n.health.state === s).map(nodeName)
  const bad = [['failing', names('failing')], ['degraded', names('degraded')]].filter(([, n]) => n.length).map(([s, n]) => `${s}: ${(n as string[]).slice(0, 10).join(', ')}`)
  return `Graph of ${count(nodes.length, 'node')}; ${bad.join('; ') || 'none fails'}. The table view has the same as text.`
}

function Legend({ nodes, find, setFind }: { nodes: GraphNode[]; find: string; setFind: (s: string) => void }) {
  return (
    <ul className="legend" aria-label="Nodes by health">{worstFirst.map(s => {
      const n = nodes.filter(x => x.health.state === s).length
      const term = s === 'unknown' ? 'outside' : s
      return n > 0 && <li key={s}><button type="button" aria-pressed={find === term} onClick={() => setFind(find === term ? '' : term)}><Mark state={s} /> {n} {stateNames[s].toLowerCase()}</button></li>
    })}</ul>
  )
}

function Term({ label, value, onChange, query, note }: { label: string; value: string; onChange: (v: string, replace?: boolean) => void; query: Query; note?: string }) {
  const id = `term-${label}`
  return (
    <div className="term">
      <label htmlFor={id}>{label}{note && <span className="note" role="status"> {note}</span>}</label>
      <input id={id} type="search" value={value} placeholder={label === 'Find' ? 'failing' : 'idle'} spellCheck={false} autoComplete="off" list={`${id}-list`} aria-invalid={!!query.error} aria-describedby={query.error ? `${id}-error` : undefined}
        title={`Examples: ${examples.join(' · ')}`} onChange={e => onChange(e.target.value, true)} />
      <datalist id={`${id}-list`}>{[...examples, ...words].map(e => <option key={e} value={e} />)}</datalist>
      {query.error && <p className="term-error" id={`${id}-error`} role="alert">{query.error}</p>}
    </div>
  )
}

// Filter comes before a graph that nobody could read.
function Filter({ nodes, choose, draw }: { nodes: GraphNode[]; choose: (namespaces: string) => void; draw: () => void }) {
  const by = new Map<string, GraphNode[]>()
  for (const n of nodes) by.set(n.namespace ?? '', [...(by.get(n.namespace ?? '') ?? []), n])
  const bad = (ns: GraphNode[]) => Math.min(...ns.map(n => worstFirst.indexOf(n.health.state)))
  return (
    <div className="filter">
      <h2>{count(nodes.length, 'node')} are more than a picture can tell</h2>
      <p>Choose a namespace, hide something, or look at the table.</p>
      <ul>{[...by].filter(([n]) => n).sort((a, b) => bad(a[1]) - bad(b[1]) || b[1].length - a[1].length || a[0].localeCompare(b[0])).map(([name, ns]) => (
        <li key={name}><button type="button" className="button" onClick={() => choose(name)}><Mark state={worstFirst[bad(ns)]} /> {name} <span className="soft">{ns.length}</span></button></li>
      ))}</ul>
      <p><button type="button" className="as-link" onClick={draw}>Draw all of them</button></p>
    </div>
  )
}
