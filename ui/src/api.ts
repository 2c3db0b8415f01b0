// What heddled answers, and how it is asked. The types are those of platform/observe/graph and platform/web.
import { useCallback, useEffect, useRef, useState } from 'react'

export type State = 'failing' | 'degraded' | 'healthy' | 'idle' | 'unknown'
export type Rates = Record<string, number>
export interface Health { state: State; reason: string }
export interface Traffic {
  rate: number; errorRate: number; clientErrorRate: number
  p50: number | null; p95: number | null; p99: number | null
  requestBytes: number; responseBytes: number; connections: number; mtls: number | null
  codes?: Rates; grpcStatuses?: Rates; flags?: Rates
}
export type Kind = 'workload' | 'app' | 'service' | 'unknown'
export interface GraphNode {
  id: string; kind: Kind; name: string; namespace?: string; cluster?: string; app?: string; version?: string
  boxes?: string[]; health: Health; in: Traffic; out: Traffic; own: number | null
  change?: Change // of two moments that are compared
}
export interface GraphEdge {
  id: string; source: string; target: string; protocol: string; services?: string[]; reporter: string; health: Health; traffic: Traffic
  change?: Change
}
// Change is what is different from an earlier moment, in words.
export interface Change { kind: 'new' | 'gone' | 'changed'; says: string[]; short?: string }
export type GraphType = 'workload' | 'app' | 'versionedApp' | 'service'
export interface Graph { type: GraphType; time: string; window: number; nodes: GraphNode[]; edges: GraphEdge[]; warnings?: string[] }

export interface Badge { kind: string; objects?: string[] }
export type Badges = Record<string, Badge[]> // by KIND:NAMESPACE/NAME
export interface Line { name: string; values: (number | null)[] }
export interface Chart { name: string; unit: string; lines: Line[]; query: string }
export interface Series { start: string; step: number; charts: Chart[] }

export interface Signals { node?: string; health: Health; in: Traffic; out: Traffic; own: number | null }
export interface Service extends Signals {
  name: string; namespace: string; host: string; registry: string; ports: { name?: string; number: number }[]; healthyEndpoints: number; endpoints: number
}
export interface Workload extends Signals {
  name: string; namespace: string; cluster?: string; serviceAccount?: string; instances: number; services: string[]
}
export interface List<T> { items: T[]; warning?: string }
export interface Finding { code: string; field?: string; message: string; hint?: string }
export interface MeshObject { group?: string; kind: string; namespace?: string; name: string; source?: string; findings: Finding[] }
export interface Objects { items: MeshObject[]; findings: (Finding & { object: string })[] }
export interface Status {
  version: string; revision: number; services: number; workloads: number; findings: number; proxies: string[]
  metrics: { ok: boolean; error?: string }; namespaces: string[] | null
}

export class Failure extends Error {
  constructor(message: string, readonly status: number) { super(message) }
}

export async function ask<T>(path: string, init?: RequestInit): Promise<T> {
  let response: Response
  try {
    response = await fetch(path, { ...init, headers: { Accept: 'application/json', ...init?.headers } })
  } catch (e) {
    if (e instanceof DOMException && e.name === 'AbortError') throw e
    throw new Failure('heddled does not answer. It may be starting, or it has ended: heddle status tells.', 0)
  }
  const body = await response.json().catch(() => ({ error: `heddled answered ${response.status} without a reason` }))
  if (!response.ok) throw new Failure(body.error ?? `heddled answered ${response.status}`, response.status)
  return body as T
}

export interface Poll<T> { data?: T; error?: Failure; loading: boolean; again: () => void }

// usePoll asks now and then, and of an empty path nothing. What was last known stays while the next answer is awaited, and when it does not come.
export function usePoll<T>(path: string, every: number): Poll<T> {
  const [state, set] = useState<{ path: string; data?: T; error?: Failure; loading: boolean }>({ path, loading: true })
  const [round, next] = useState(0)
  const current = useRef(path)
  current.current = path
  useEffect(() => {
    const stop = new AbortController()
    let timer: number | undefined
    const once = async () => {
      try {
        const data = await ask<T>(path, { signal: stop.signal })
        set({ path, data, loading: false })
      } catch (e) {
        if (stop.signal.aborted) return
        const error = e instanceof Failure ? e : new Failure(String(e), 0)
        set(old => ({ path, data: old.path === path ? old.data : undefined, error, loading: false }))
        if (error.status === 401) return
      }
      if (every > 0 && !stop.signal.aborted) timer = window.setTimeout(whenSeen, every)
    }
    // A page that nobody sees asks nothing.
    const whenSeen = () => {
      if (document.hidden) document.addEventListener('visibilitychange', whenSeen, { once: true, signal: stop.signal })
      else void once()
    }
    if (!path) { set({ path, loading: false }); return }
    set(old => ({ ...old, loading: true }))
    void once()
    return () => { stop.abort(); window.clearTimeout(timer) }
  }, [path, every, round])
  return { data: state.data, error: state.error, loading: state.loading, again: useCallback(() => next(n => n + 1), []) }
}
