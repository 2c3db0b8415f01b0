import { type List, type Service, type Signals, usePoll, type Workload } from '../api'
import { count, flow, none, share, time } from '../format'
import { Command, quote } from '../parts/Command'
import { Choice } from '../parts/Choice'
import { HealthMark, worstFirst } from '../parts/Health'
import { Link } from '../parts/Link'
import { Empty, Loading, Notice, sentence, Trouble } from '../parts/States'
import { type Column, Table } from '../parts/Table'
import { useParam } from '../route'
import { windows } from '../topology/Topology'

function signals<T extends Signals>(): Column<T>[] {
  return [
    { name: 'Requests', number: true, sort: r => r.in.rate, cell: r => flow(r.in) },
    { name: 'Errors', number: true, sort: r => r.in.errorRate, cell: r => <span className={r.in.errorRate > 0 ? 'bad' : ''}>{r.in.rate > 0 ? share(r.in.errorRate) : none}</span>, note: '5xx, no response, gRPC errors' },
    { name: 'p50', number: true, sort: r => r.in.p50 ?? -1, cell: r => time(r.in.p50) },
    { name: 'p95', number: true, sort: r => r.in.p95 ?? -1, cell: r => time(r.in.p95) },
    { name: 'p99', number: true, sort: r => r.in.p99 ?? -1, cell: r => time(r.in.p99) },
    { name: 'Own time', number: true, sort: r => r.own ?? -1, cell: r => time(r.own), note: 'Median, without that of the slowest call that it makes' },
    { name: 'mTLS', number: true, sort: r => r.in.mtls ?? -1, cell: r => share(r.in.mtls) },
  ]
}

const health = <T extends Signals>(): Column<T> => ({ name: 'Health', sort: r => worstFirst.indexOf(r.health.state), cell: r => <HealthMark health={r.health} /> })

function Rows<T extends Signals & { name: string; namespace: string }>({ title, path, every, columns, type, id, command }: {
  title: string; path: string; every: number; columns: Column<T>[]; type: string; id: (x: T) => string; command: (window: string) => string
}) {
  const [window, setWindow] = useParam('window', '1m')
  const [search, setSearch] = useParam('search', '')
  const { data, error, again } = usePoll<List<T>>(`${path}?window=${window}`, every)
  const rows = data?.items.filter(r => `${r.namespace}/${r.name}`.includes(search.trim().toLowerCase())) ?? []
  const named: Column<T> = {
    name: 'Name', heading: true, sort: r => r.name,
    cell: r => (r.node ? <Link to={`/topology?${new URLSearchParams({ ...(type !== 'workload' && { type }), ...(window !== '1m' && { window }), chosen: r.node })}`}>{r.name}</Link> : r.name),
  }
  return (
    <div className="page">
      <div className="page-head">
        <h1>{title}{data && <span className="soft"> {data.items.length}</span>}</h1>
        <div className="tools">
          <Choice label="Of the last" value={window} options={windows} onChange={setWindow} />
          <div className="term"><label htmlFor="search">Name</label><input id="search" type="search" value={search} placeholder="shop/" onChange={e => setSearch(e.target.value, true)} /></div>
        </div>
      </div>
      {data?.warning && <Notice>{sentence(data.warning)}</Notice>}
      {error && data && <Notice>{sentence(error.message)}</Notice>}
      {!data && error && <Trouble error={error} again={again} />}
      {!data && !error && <Loading what={`the ${title.toLowerCase()}`} />}
      {data && !rows.length && <Empty title={data.items.length ? 'None has this name' : `There are no ${title.toLowerCase()}`}>{data.items.length ? <button type="button" className="button" onClick={() => setSearch('')}>Show all {count(data.items.length, 'row')}</button> : <p>heddle run puts a process into the mesh.</p>}</Empty>}
      {rows.length > 0 && <Table caption={title} columns={[named, health<T>(), ...columns]} rows={rows} id={id} first={{ column: 'Health', down: false }} />}
      <Command text={command(window)} />
    </div>
  )
}

export function Services({ every }: { every: number }) {
  return <Rows<Service> title="Services" path="/api/services" every={every} type="service" id={r => `${r.namespace}/${r.host}`} columns={[
    { name: 'Namespace', sort: r => r.namespace, cell: r => r.namespace },
    ...signals<Service>(),
    { name: 'Endpoints', number: true, sort: r => r.healthyEndpoints, cell: r => <span className={r.healthyEndpoints < r.endpoints ? 'bad' : ''}>{r.healthyEndpoints === r.endpoints ? r.endpoints : `${r.healthyEndpoints} of ${r.endpoints}`}</span>, note: 'Healthy ones of all' },
    { name: 'Ports', cell: r => r.ports.map(p => (p.name ? `${p.name} ${p.number}` : p.number)).join(', ') },
  ]} command={w => `heddle query ${quote(`sum by (destination_service, response_code) (rate(istio_requests_total{reporter="destination"}[${w}]))`)}`} />
}

export function Workloads({ every }: { every: number }) {
  return <Rows<Workload> title="Workloads" path="/api/workloads" every={every} type="workload" id={r => `${r.namespace}/${r.name}/${r.cluster ?? ''}`} columns={[
    { name: 'Namespace', sort: r => r.namespace, cell: r => r.namespace },
    ...signals<Workload>(),
    { name: 'Instances', number: true, sort: r => r.instances, cell: r => r.instances },
    { name: 'Serves', cell: r => r.services.map(s => s.replace(/\.svc\..*$/, '')).join(', ') },
  ]} command={w => `heddle query ${quote(`sum by (destination_workload, response_code) (rate(istio_requests_total{reporter="destination"}[${w}]))`)}`} />
}
