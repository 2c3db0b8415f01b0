// How the graph looks. Health is a colour and a shape: neither alone carries it.
import type { StylesheetJson } from 'cytoscape'
import type { Kind, State } from '../api'

export interface Colours { text: string; soft: string; surface: string; box: string; line: string; accent: string; states: Record<State, string> }

export function colours(): Colours {
  const s = getComputedStyle(document.documentElement)
  const v = (n: string) => s.getPropertyValue(n).trim()
  return {
    text: v('--text'), soft: v('--text-soft'), surface: v('--surface'), box: v('--box'), line: v('--line'), accent: v('--accent'),
    states: { failing: v('--failing'), degraded: v('--degraded'), healthy: v('--healthy'), idle: v('--idle'), unknown: v('--unknown') },
  }
}

export const shapes: Record<State, string> = { failing: 'octagon', degraded: 'round-diamond', healthy: 'ellipse', idle: 'round-rectangle', unknown: 'round-tag' }

// icons of kinds, drawn white on the colour of the health.
const paths: Record<Kind, string> = {
  workload: 'M12 3 20 7.5v9L12 21l-8-4.5v-9zM12 12l8-4.5M12 12v9M12 12 4 7.5',
  app: 'M4 4h7v7H4zM13 4h7v7h-7zM4 13h7v7H4zM13 13h7v7h-7z',
  service: 'M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v6M12 16v6M2 12h6M16 12h6',
  unknown: 'M9 9a3 3 0 1 1 4.5 2.6C12.5 12.200 12 13 12 14M12 17.5v.500',
}
function icon(kind: Kind, colour = '#fff'): string {
  return 'data:image/svg+xml;utf8,' + encodeURIComponent(`<svg xmlns="http://www.w3.org/2000/svg" width="48" height="48" viewBox="0 0 24 24" fill="none" stroke="${colour}" stroke-width="1.9" stroke-linejoin="round" stroke-linecap="round"><path d="${paths[kind]}"/></svg>`)
}

export const icons = Object.fromEntries((Object.keys(paths) as Kind[]).map(k => [k, icon(k)])) as Record<Kind, string>

// simple is from how many edges on they are drawn as plain lines, so that moving the graph stays fluid.
export const simple = 800

export function stylesheet(c: Colours, large: boolean): StylesheetJson {
  const sheet: unknown[] = [
    {
      selector: 'node', style: {
        label: 'data(label)', 'font-family': 'system-ui, sans-serif', 'font-size': 13, 'font-weight': 600, color: c.text, 'text-valign': 'bottom', 'text-margin-y': 6, 'text-wrap': 'wrap', 'text-max-width': '150px',
        'text-background-color': c.surface, 'text-background-opacity': 0.82, 'text-background-padding': '2px', 'text-background-shape': 'roundrectangle', 'min-zoomed-font-size': 7,
        width: 40, height: 40, 'background-image': 'data(icon)', 'background-width': '56%', 'background-height': '56%', 'border-width': 0,
        'overlay-opacity': 0, 'transition-property': 'opacity', 'transition-duration': 150,
      },
    },
    {
      selector: '$node > node', style: {
        'background-color': c.box, 'background-opacity': 1, 'border-width': 1, 'border-color': c.line, shape: 'round-rectangle', padding: '22px', 'text-valign': 'top', 'text-halign': 'center', 'text-margin-y': -5,
        'font-size': 12, 'font-weight': 600, color: c.soft, 'background-image': 'none', 'text-background-opacity': 0,
      },
    },
    {
      selector: 'edge', style: {
        ...(large ? { width: 1.6, 'curve-style': 'haystack', 'haystack-radius': 0, 'line-opacity': 0.45 } : { width: 'data(width)', 'curve-style': 'bezier', 'control-point-step-size': 46, 'target-arrow-shape': 'triangle', label: 'data(label)' }), 'arrow-scale': 1, 'font-family': 'system-ui, sans-serif', 'font-size': 11,
        color: c.text, 'text-background-color': c.surface, 'text-background-opacity': 0.92, 'text-background-padding': '3px', 'text-background-shape': 'roundrectangle', 'min-zoomed-font-size': 7, 'overlay-opacity': 0,
      },
    },
    { selector: 'edge[protocol = "tcp"]', style: { 'target-arrow-shape': 'vee', 'line-style': 'dashed', 'line-dash-pattern': [9, 3] } },
    { selector: 'edge[state = "failing"]', style: { 'font-weight': 700, 'target-arrow-shape': 'triangle-cross', 'z-index': 9 } },
    { selector: 'edge[state = "idle"]', style: { 'line-style': 'dotted', opacity: 0.7 } },
    { selector: '.dim', style: { opacity: 0.18 } },
    { selector: 'node.found', style: { 'underlay-color': c.accent, 'underlay-opacity': 0.28, 'underlay-padding': 10, 'underlay-shape': 'ellipse' } },
    { selector: 'edge.found', style: { 'underlay-color': c.accent, 'underlay-opacity': 0.28, 'underlay-padding': 5 } },
    { selector: 'node.chosen', style: { 'border-width': 4, 'border-color': c.accent, 'border-opacity': 1 } },
    { selector: 'edge.chosen', style: { 'underlay-color': c.accent, 'underlay-opacity': 0.5, 'underlay-padding': 5 } },
  ]
  sheet.push(
    { selector: 'node[change = "new"]', style: { 'border-width': 3, 'border-color': c.accent, 'border-opacity': 1 } },
    { selector: 'node[change = "changed"]', style: { 'border-width': 3, 'border-color': c.text, 'border-opacity': 1, 'border-style': 'double' } },
    { selector: 'node[change = "gone"]', style: { 'background-opacity': 0.35, 'border-width': 2, 'border-color': c.soft, 'border-opacity': 1, 'border-style': 'dashed', color: c.soft } },
    { selector: 'edge[change = "new"]', style: { 'underlay-color': c.accent, 'underlay-opacity': 0.25, 'underlay-padding': 4 } },
    { selector: 'edge[change = "gone"]', style: { 'line-style': 'dashed', opacity: 0.45 } },
  )
  for (const state of Object.keys(shapes) as State[]) {
    sheet.push(
      { selector: `node[state = "${state}"]`, style: { 'background-color': c.states[state], shape: shapes[state], ...(state === 'failing' ? { width: 48, height: 48 } : state === 'degraded' ? { width: 50, height: 50 } : {}) } },
      { selector: `edge[state = "${state}"]`, style: { 'line-color': c.states[state], 'target-arrow-color': c.states[state] } },
    )
  }
  return sheet as StylesheetJson
}
