import { useEffect, useState } from 'react'
import { ask, type Status, usePoll } from './api'
import { count } from './format'
import { Mark } from './parts/Health'
import { Link } from './parts/Link'
import { Empty } from './parts/States'
import { Config } from './pages/Config'
import { Services, Workloads } from './pages/Lists'
import { Login } from './pages/Login'
import { go, useAddress, useParam } from './route'
import { Topology } from './topology/Topology'

const pages: Record<string, string> = { '/topology': 'Topology', '/services': 'Services', '/workloads': 'Workloads', '/config': 'Config' }
const refreshes: Record<string, number> = { '5': 5000, '15': 15000, '60': 60000, off: 0 }

function useTheme(): [boolean, () => void] {
  const media = matchMedia('(prefers-color-scheme: dark)')
  const [dark, set] = useState(() => (localStorage.getItem('theme') ?? (media.matches ? 'dark' : 'light')) === 'dark')
  document.documentElement.dataset.theme = dark ? 'dark' : 'light'
  return [dark, () => { localStorage.setItem('theme', dark ? 'light' : 'dark'); set(!dark) }]
}

export function App() {
  const address = useAddress()
  const [dark, turn] = useTheme()
  const [refresh, setRefresh] = useParam('refresh', '5')
  const every = refreshes[refresh] ?? 5000
  const { data: status, error, again } = usePoll<Status>('/api/status', Math.max(every, 5000))
  const path = address.pathname.replace(/\/+$/, '')
  useEffect(() => { if (path === '' || path === '/login' && status) go('/topology' + (path === '' ? address.search : ''), true) }, [path, status, address.search])
  useEffect(() => { document.title = `${pages[path] ?? 'Heddle'} · Heddle` }, [path])
  if (error?.status === 401 || path === '/login') return <Login onDone={again} />
  return (
    <>
      <a className="skip" href="#main">Skip to the content</a>
      <header className="top">
        <Link to="/topology" className="brand"><img src="/icon.svg" alt="" width="26" height="26" /> Heddle</Link>
        <nav aria-label="Pages">{Object.entries(pages).map(([to, name]) => <Link key={to} to={to} current={path === to}>{name}</Link>)}</nav>
        <div className="facts-line">
          {status && <>
            <span title={status.proxies.join('\n')}>{count(status.proxies.length, 'proxy', 'proxies')}</span>
            {status.findings > 0 && <Link to="/config?only=wrong"><Mark state="degraded" /> {count(status.findings, 'finding')}</Link>}
            {!status.metrics.ok && <span className="health" title={status.metrics.error}><Mark state="failing" /> no metrics</span>}
          </>}
          {error && <span className="health" role="status" title={error.message}><Mark state="failing" /> heddled does not answer</span>}
        </div>
        <label className="refresh">Refresh <select value={refresh} onChange={e => setRefresh(e.target.value)}><option value="5">5 s</option><option value="15">15 s</option><option value="60">1 min</option><option value="off">off</option></select></label>
        <button type="button" className="button small" onClick={turn} aria-label={dark ? 'Light colours' : 'Dark colours'}>{dark ? 'Light' : 'Dark'}</button>
        <button type="button" className="button small" onClick={() => void ask('/api/logout', { method: 'POST' }).finally(again)}>Log out</button>
      </header>
      <main id="main" tabIndex={-1}>
        {path === '/topology' && <><h1 className="unseen">Topology</h1><Topology every={every} dark={dark} /></>}
        {path === '/services' && <Services every={every} />}
        {path === '/workloads' && <Workloads every={every} />}
        {path === '/config' && <Config every={every} />}
        {path !== '' && !pages[path] && <Empty title="There is no such page"><Link to="/topology" className="button">To the topology</Link></Empty>}
      </main>
    </>
  )
}
