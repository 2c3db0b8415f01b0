// The address is the state: every view is a bookmark.
import { useCallback, useSyncExternalStore } from 'react'

const listeners = new Set<() => void>()
const tell = () => listeners.forEach(l => l())
window.addEventListener('popstate', tell)

function subscribe(l: () => void) {
  listeners.add(l)
  return () => { listeners.delete(l) }
}

export function go(to: string, replace = false) {
  if (to === location.pathname + location.search) return
  history[replace ? 'replaceState' : 'pushState'](null, '', to)
  tell()
}

export function useAddress(): URL {
  return new URL(useSyncExternalStore(subscribe, () => location.href))
}

// useParam is one word of the address; its usual value is left out.
export function useParam(name: string, usual: string): [string, (value: string, replace?: boolean) => void] {
  const value = useAddress().searchParams.get(name) ?? usual
  const set = useCallback((v: string, replace = false) => {
    const u = new URL(location.href)
    if (v === usual) u.searchParams.delete(name)
    else u.searchParams.set(name, v)
    go(u.pathname + u.search, replace)
  }, [name, usual])
  return [value, set]
}
