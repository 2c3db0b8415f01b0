import { useState } from 'react'
import { ask, Failure } from '../api'
import { Command } from '../parts/Command'
import { sentence } from '../parts/States'
import { go } from '../route'

export function Login({ onDone }: { onDone: () => void }) {
  const [token, set] = useState(''), [error, fail] = useState('')
  const used = location.pathname === '/login' && location.search === '?used'
  const send = async (e: React.FormEvent) => {
    e.preventDefault()
    try {
      await ask('/api/login', { method: 'POST', body: JSON.stringify({ token }), headers: { 'Content-Type': 'application/json' } })
      if (location.pathname === '/login') go('/', true)
      onDone()
    } catch (e) {
      fail(e instanceof Failure ? sentence(e.message) : String(e))
    }
  }
  return (
    <main className="login">
      <form className="card" onSubmit={e => void send(e)}>
        <img src="/icon.svg" alt="" width="44" height="44" />
        <h1>Heddle</h1>
        <p>{used ? 'That link has been used, or is too old: a link logs in once. The command prints another.' : 'The mesh is shown to who holds its token. On this machine a command opens this page logged in:'}</p>
        <Command text="heddle dashboard" about="" />
        <label htmlFor="token">Or the token of heddled’s --token-file</label>
        <input id="token" type="password" autoComplete="current-password" value={token} onChange={e => set(e.target.value)} aria-invalid={!!error} aria-describedby="login-error" />
        <p id="login-error" className="term-error" role="alert">{error}</p>
        <button className="button primary" disabled={!token.trim()}>Log in</button>
      </form>
    </main>
  )
}
