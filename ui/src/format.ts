// Numbers as people read them.
export const none = '–'

function digits(x: number): string {
  if (x >= 100) return x.toFixed(0)
  if (x >= 10) return x.toFixed(1).replace(/\.0$/, '')
  return x.toFixed(2).replace(/\.?0+$/, '')
}

export function rate(x: number): string {
  if (x <= 0) return '0/s'
  if (x < 0.01) return '<0.01/s'
  return x >= 10_000 ? `${digits(x / 1000)}k/s` : `${digits(x)}/s`
}

export function share(x: number | null): string {
  if (x === null) return none
  const p = x * 100
  if (p > 0 && p < 0.1) return '<0.1 %'
  if (p > 99.9 && p < 100) return '>99.9 %'
  return `${p.toFixed(1).replace(/\.0$/, '')} %`
}

export function time(ms: number | null): string {
  if (ms === null) return none
  if (ms < 1) return '<1 ms'
  return ms < 1000 ? `${digits(ms)} ms` : `${digits(ms / 1000)} s`
}

export function bytes(x: number): string {
  if (x <= 0) return '0 B/s'
  const units = ['B/s', 'kB/s', 'MB/s', 'GB/s']
  let i = 0
  while (x >= 1000 && i < units.length - 1) { x /= 1000; i++ }
  return `${digits(x)} ${units[i]}`
}

// flow is how much comes: requests where there are any, else bytes.
export function flow(t: { rate: number; requestBytes: number; responseBytes: number; connections: number }): string {
  return t.rate === 0 && (t.connections > 0 || t.requestBytes + t.responseBytes > 0) ? bytes(t.requestBytes + t.responseBytes) : rate(t.rate)
}

export function count(n: number, one: string, many = one + 's'): string {
  return `${n} ${n === 1 ? one : many}`
}
