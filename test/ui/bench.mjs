// Measures in a browser what a large graph costs: from the question to the picture, and frame by frame while it is dragged. Prints figures; nothing fails for being slow.
import { chromium } from 'playwright-core'

const { DASHBOARD, TOKEN, BROWSER, ROUNDS = '5', PROFILE } = process.env
const browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox', '--force-color-profile=srgb'] })
const page = await (await browser.newContext({ viewport: { width: 1440, height: 860 } })).newPage()
page.setDefaultTimeout(120000)
const link = (await (await fetch(`${DASHBOARD}/api/link`, { method: 'POST', headers: { Authorization: `Bearer ${TOKEN}` } })).json()).path
await page.goto(DASHBOARD + link)
// What the page's main thread computes, whatever else the machine does meanwhile.
const session = await page.context().newCDPSession(page)
await session.send('Performance.enable', { timeDomain: 'threadTicks' })
const cpu = async () => (await session.send('Performance.getMetrics')).metrics.find(m => m.name === 'TaskDuration').value * 1000
const middle = all => [...all].sort((a, b) => a - b)[Math.floor(all.length / 2)]
const row = (what, all, goal) => console.log(`FIGURE ${what}: median ${Math.round(middle(all))} ms, of ${all.length} from ${Math.round(Math.min(...all))} to ${Math.round(Math.max(...all))}${goal ? `; goal ${goal}` : ''}`)

// The first view: an empty cache is not possible without a new browser, so that the page's own clock counts from the navigation.
const first = [], whole = [], answer = [], browserPart = [], computed = []
for (let i = 0; i < Number(ROUNDS); i++) {
  await page.goto('about:blank')
  const before = await cpu()
  await page.goto(`${DASHBOARD}/topology?refresh=off&all=yes&badges=off`)
  const t = await page.evaluate(async () => {
    while (!document.querySelector('.drawing-graph')?.cy || document.querySelector('.drawing-graph').cy.edges().length < 5000) await new Promise(r => setTimeout(r, 5))
    // Two frames later it is on the screen.
    await new Promise(r => requestAnimationFrame(() => requestAnimationFrame(r)))
    const asked = performance.getEntriesByType('resource').find(e => e.name.includes('/api/graph'))
    return { now: performance.now(), asked: asked.startTime, answered: asked.responseEnd, paint: performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0, bytes: asked.encodedBodySize }
  })
  first.push(t.paint); whole.push(t.now - t.asked); answer.push(t.answered - t.asked); browserPart.push(t.now - t.answered); computed.push(await cpu() - before)
  if (i === 0) console.log(`FIGURE the answer has ${Math.round(t.bytes / 1024)} KiB, compressed`)
}
row('first content on the screen', first, '1500 ms')
row('1,000 nodes and 5,000 edges, from the question to the screen', whole, '2000 ms')
row('… of that until the answer is there', answer)
row('… and from the answer to the screen', browserPart)
row('CPU time of the main thread for all of it', computed)

const drag = async (what, x, y) => {
  await page.mouse.move(x, y)
  await page.mouse.down()
  await page.evaluate(() => {
    window.frames_ = []
    let last = performance.now()
    const next = t => { window.frames_.push(t - last); last = t; if (window.frames_) window.raf_ = requestAnimationFrame(next) }
    window.raf_ = requestAnimationFrame(t => { last = t; requestAnimationFrame(next) })
  })
  for (let i = 0; i < 90; i++) await page.mouse.move(x + Math.sin(i / 9) * 220, y + Math.cos(i / 7) * 120)
  const frames = await page.evaluate(() => { cancelAnimationFrame(window.raf_); return window.frames_ })
  await page.mouse.up()
  const sorted = [...frames].sort((a, b) => a - b)
  console.log(`FIGURE ${what}: median ${sorted[Math.floor(sorted.length / 2)].toFixed(1)} ms a frame, 95 % within ${sorted[Math.floor(sorted.length * 0.95)].toFixed(1)} ms, of ${frames.length} frames; goal 33 ms`)
}
await page.waitForTimeout(500)
await drag('dragging the picture', 700, 700)
// Under the mouse there is a node.
const at = await page.evaluate(() => { const n = document.querySelector('.drawing-graph').cy.nodes(':childless')[0].renderedPosition(), b = document.querySelector('.drawing-graph').getBoundingClientRect(); return { x: n.x + b.x, y: n.y + b.y } })
await page.waitForTimeout(500)
await drag('dragging a node', at.x, at.y)
if (PROFILE) {
  await session.send('Profiler.enable')
  await session.send('Profiler.start')
  await page.goto(`${DASHBOARD}/topology?refresh=off&all=yes&badges=off&boxes=none`)
  await page.waitForFunction(() => document.querySelector('.drawing-graph')?.cy?.edges().length >= 5000)
  await page.waitForTimeout(1500)
  const { profile } = await session.send('Profiler.stop')
  const self = new Map(), dt = profile.timeDeltas, byId = new Map(profile.nodes.map(n => [n.id, n]))
  profile.samples.forEach((s, i) => { const n = byId.get(s), k = `${n.callFrame.functionName || '(anonymous)'} ${n.callFrame.url.split('/').pop()}:${n.callFrame.lineNumber}:${n.callFrame.columnNumber}`; self.set(k, (self.get(k) ?? 0) + dt[i] / 1000) })
  for (const [k, ms] of [...self].sort((a, b) => b[1] - a[1]).slice(0, 25)) console.log(`${ms.toFixed(0).padStart(7)} ms ${k}`)
}
await browser.close()
