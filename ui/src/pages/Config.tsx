import { type Finding, type MeshObject, type Objects, usePoll } from '../api'
import { count } from '../format'
import { Choice } from '../parts/Choice'
import { Command } from '../parts/Command'
import { Mark } from '../parts/Health'
import { Link } from '../parts/Link'
import { Empty, Loading, Notice, sentence, Trouble } from '../parts/States'
import { type Column, Table } from '../parts/Table'
import { useParam } from '../route'

const key = (o: MeshObject) => `${o.kind}/${o.namespace ?? ''}/${o.name}`

export function Config({ every }: { every: number }) {
  const [kind, setKind] = useParam('kind', '')
  const [search, setSearch] = useParam('search', '')
  const [only, setOnly] = useParam('only', '')
  const [chosen] = useParam('object', '')
  const { data, error, again } = usePoll<Objects>('/api/objects', every)
  const kinds = Object.fromEntries([['', 'All kinds'], ...[...new Set(data?.items.map(o => o.kind))].sort().map(k => [k, k])])
  const rows = data?.items.filter(o => (!kind || o.kind === kind) && (!only || o.findings.length > 0) && `${o.namespace ?? ''}/${o.name}`.includes(search.trim().toLowerCase())) ?? []
  const wrong = data?.items.filter(o => o.findings.length) ?? []
  const object = data?.items.find(o => key(o) === chosen)
  const columns: Column<MeshObject>[] = [
    { name: 'Name', heading: true, sort: o => o.name, cell: o => <Link to={`/config?${new URLSearchParams({ ...(kind && { kind }), ...(only && { only }), object: key(o) })}`}>{o.name}</Link> },
    { name: 'Kind', sort: o => o.kind, cell: o => o.kind },
    { name: 'Namespace', sort: o => o.namespace ?? '', cell: o => o.namespace ?? '' },
    { name: 'Findings', words: true, sort: o => -o.findings.length, cell: o => (o.findings.length ? <span className="health"><Mark state="degraded" /> {o.findings[0].message}{o.findings.length > 1 && ` (and ${o.findings.length - 1} more)`}</span> : <span className="soft">none</span>) },
    { name: 'From', cell: o => o.source ?? '' },
  ]
  return (
    <div className="page">
      <div className="page-head">
        <h1>Config{data && <span className="soft"> {count(data.items.length, 'object')}, {count(wrong.length + (data.findings.length ? 1 : 0), 'with a finding', 'with findings')}</span>}</h1>
        <div className="tools">
          <Choice label="Kind" value={kind} options={kinds} onChange={setKind} />
          <div className="term"><label htmlFor="search">Name</label><input id="search" type="search" value={search} placeholder="shop/" onChange={e => setSearch(e.target.value, true)} /></div>
          <div className="views"><button type="button" aria-pressed={only === 'wrong'} onClick={() => setOnly(only ? '' : 'wrong')}>With findings</button></div>
        </div>
      </div>
      {error && data && <Notice>{sentence(error.message)}</Notice>}
      {!data && error && <Trouble error={error} again={again} />}
      {!data && !error && <Loading what="the objects" />}
      {object && <section className="card" aria-label="The chosen object">
        <header><div><p className="kind">{object.kind}{object.namespace && <> in <b>{object.namespace}</b></>}</p><h2>{object.name}</h2></div><Link to="/config" className="button small">✕<span className="unseen"> Close</span></Link></header>
        {object.findings.length ? object.findings.map((f, i) => <One key={i} f={f} />) : <p className="soft">Nothing is wrong with it.</p>}
      </section>}
      {data?.findings.map((f, i) => <section className="card" key={i}><p className="kind">{f.object || 'The settings of the mesh'}</p><One f={f} /></section>)}
      {data && !rows.length && <Empty title={data.items.length ? 'No object is like this' : 'There are no objects'}>{data.items.length ? <Link to="/config" className="button">Show all</Link> : <p>Apply some with heddle kubectl apply -f FILE.</p>}</Empty>}
      {rows.length > 0 && <Table caption="Objects" columns={columns} rows={rows} id={key} first={{ column: 'Findings', down: false }} chosen={chosen} />}
      <Command text={object ? `heddle kubectl get ${object.kind.toLowerCase()}${object.group ? '.' + object.group : ''} ${object.name}${object.namespace ? ' -n ' + object.namespace : ''} -o yaml` : 'heddle kubectl get virtualservices,destinationrules,gateways.networking.istio.io -A'} />
    </div>
  )
}

function One({ f }: { f: Finding }) {
  return <div className="finding"><p><Mark state="degraded" /> <b>{f.code}</b>{f.field && <> at <code>{f.field}</code></>}</p><p>{sentence(f.message)}</p>{f.hint && <p className="soft">{sentence(f.hint)}</p>}</div>
}
