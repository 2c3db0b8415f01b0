// Looks at every page as a user does. Each check says what it wants; the first that fails ends the run.
import assert from 'node:assert/strict'
import { chromium } from 'playwright-core'

const { DASHBOARD, TOKEN, BROWSER, SHOTS } = process.env
const browser = await chromium.launch({ executablePath: BROWSER, args: ['--no-sandbox', '--force-color-profile=srgb'] })
const context = await browser.newContext({ viewport: { width: 1440, height: 860 }, colorScheme: 'light' })
const page = await context.newPage()
page.setDefaultTimeout(20000)
const wrong = []
let expected = /never/
page.on('console', m => { if (m.type() === 'error' && !expected.test(m.text())) wrong.push(`console: ${m.text()}`) })
page.on('pageerror', e => wrong.push(`error: ${e.stack}`))
page.on('request', r => { if (!r.url().startsWith(DASHBOARD) && !r.url().startsWith('data:')) wrong.push(`request to ${r.url()}`) })
const shot = name => page.screenshot({ path: `${SHOTS}/${name}.png` })
// ONLY is a regular expression for whoever works at one page; logging in is always checked.
const only = new RegExp(process.env.ONLY || '.')
const check = async (what, f) => {
  if (process.env.ONLY && !only.test(what) && !/logged in|logs in/.test(what)) return
  try { await f() } catch (e) { await shot('failed'); console.log(`not ok: ${what}\n${e.stack}\n${wrong.join('\n')}`); process.exit(1) }
  console.log('ok:', what)
}
const link = async () => (await (await fetch(`${DASHBOARD}/api/link`, { method: 'POST', headers: { Authorization: `Bearer ${TOKEN}` } })).json()).path
const open = path => page.goto(DASHBOARD + path)
const appears = async (f, arg) => {
  for (let i = 0; ; i++) {
    if (await page.locator('.drawing-graph').count() && await page.evaluate(f, arg)) return
    if (i > 100) throw new Error(`never: ${f}`)
    await page.waitForTimeout(100)
  }
}
await check('who is not logged in sees how to log in, and nothing else', async () => {
  expected = /401/
  await open('/topology')
  await page.getByText('heddle dashboard').waitFor()
  assert.equal(await page.locator('.drawing').count(), 0)
  await page.getByLabel(/Or the token/).fill('wrong')
  await page.keyboard.press('Enter')
  await page.getByText('This is not the token').waitFor()
  await shot('login')
  await page.getByLabel(/Or the token/).fill(TOKEN)
  await page.keyboard.press('Enter')
  await page.locator('.drawing-graph').waitFor()
  await page.getByRole('button', { name: 'Log out' }).click()
  await page.getByText('heddle dashboard').waitFor()
})

await check('a link logs in once and leaves the address', async () => {
  const once = await link()
  await open(once)
  await page.locator('.drawing-graph').waitFor()
  assert.equal(new URL(page.url()).search, '')
  assert.equal(new URL(page.url()).pathname, '/topology')
  const cookies = await context.cookies(`${DASHBOARD}/api`)
  assert.ok(cookies.length === 1 && cookies[0].httpOnly && cookies[0].sameSite === 'Strict')
  await context.clearCookies()
  await open(once)
  await page.getByText('logs in once').waitFor()
  await open(await link())
  await page.locator('.drawing-graph').waitFor()
  expected = /never/
})

await check('the graph of the shop appears', async () => {
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 10)
  const ids = await page.evaluate(() => document.querySelector('.drawing-graph').cy.nodes().map(n => n.id()))
  for (const w of ['ingress-v1', 'web-v1', 'catalog-v1', 'catalog-v2', 'cart-v1', 'checkout-v1', 'payment-v1', 'pricing-v1', 'ledger-v1']) assert.ok(ids.some(i => i.includes(`/${w}`)), `${w} is missing in ${ids}`)
  await page.waitForTimeout(400)
  await shot('topology')
})

await check('the failing service is red and has the failing shape, the degraded one neither', async () => {
  const look = id => page.evaluate(id => { const n = document.querySelector('.drawing-graph').cy.getElementById(id); return { colour: n.style('background-color'), shape: n.style('shape') } }, id)
  const red = await look('workload:shop/checkout-v1@laptop'), amber = await look('workload:shop/payment-v1@laptop'), fine = await look('workload:shop/catalog-v1@laptop')
  assert.deepEqual(red, { colour: 'rgb(196,22,42)', shape: 'octagon' })
  assert.deepEqual(amber, { colour: 'rgb(178,98,0)', shape: 'round-diamond' })
  assert.deepEqual(fine, { colour: 'rgb(27,127,121)', shape: 'ellipse' })
})

await check('the slow service is named as slow, and who waits for it is not', async () => {
  const labels = await page.evaluate(() => document.querySelector('.drawing-graph').cy.nodes().map(n => n.data('label')))
  assert.deepEqual(labels.filter(l => l.includes('slow')).map(l => l.split('\n')[0]), ['pricing-v1'])
})

await check('no two nodes lie on each other, and callers stand left of what they call', async () => {
  const at = await page.evaluate(() => document.querySelector('.drawing-graph').cy.nodes().filter(n => !n.isParent()).map(n => ({ id: n.id(), ...n.position() })))
  for (const a of at) for (const b of at) assert.ok(a.id === b.id || Math.hypot(a.x - b.x, a.y - b.y) > 60, `${a.id} lies on ${b.id}`)
  const x = n => at.find(a => a.id.includes(n)).x
  assert.ok(x('web-v1') < x('checkout-v1') && x('checkout-v1') < x('payment-v1') && x('payment-v1') < x('ledger-v1'))
})

await check('the picture stays where it is when it is read again', async () => {
  const places = () => page.evaluate(() => JSON.stringify(document.querySelector('.drawing-graph').cy.nodes().map(n => [n.id(), n.position()])))
  const before = await places()
  await page.waitForResponse(r => r.url().includes('/api/graph'))
  await page.waitForTimeout(300)
  assert.equal(await places(), before)
})

await check('find marks, hide takes away, and a mistake is told', async () => {
  await page.getByLabel(/^Find/).fill('failing')
  await appears(() => document.querySelector('.drawing-graph').cy.nodes('.found').length > 0)
  const found = await page.evaluate(() => document.querySelector('.drawing-graph').cy.nodes('.found').map(n => n.id()))
  assert.ok(found.includes('workload:shop/checkout-v1@laptop') && !found.includes('workload:shop/payment-v1@laptop'), String(found))
  assert.match(page.url(), /find=failing/)
  await shot('find')
  await page.getByLabel(/^Find/).fill('%httperr > 3 AND !tcp')
  await appears(() => document.querySelector('.drawing-graph').cy.edges('.found').length > 0)
  await page.getByLabel(/^Find/).fill('colour = blue')
  await page.getByText('“colour” is not known').waitFor()
  await page.getByLabel(/^Find/).fill('')
  await page.getByLabel(/^Hide/).fill('ns = istio-system OR outside')
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().every(n => !n.id().includes('ingress')))
  await page.getByLabel(/^Hide/).fill('')
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().some(n => n.id().includes('ingress')))
})

await check('boxes change without the picture moving', async () => {
  const places = () => page.evaluate(() => JSON.stringify(document.querySelector('.drawing-graph').cy.nodes(':childless').map(n => [n.id(), n.position()]).sort()))
  const before = await places()
  await page.getByRole('button', { name: /Boxes/ }).click()
  await page.getByRole('option', { name: 'App' }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes(':parent').length === 0)
  assert.equal(await places(), before)
  await page.getByRole('button', { name: /Boxes/ }).click()
  await page.getByRole('option', { name: 'Namespace' }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes(':parent').length === 2)
  assert.equal(await places(), before)
})

await check('badges tell what configures a node, and the details by which object', async () => {
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().some(n => (n.data('badges') ?? []).length > 0))
  const of = id => page.evaluate(id => document.querySelector('.drawing-graph').cy.getElementById(id).data('badges'), id)
  const pricing = await of('workload:shop/pricing-v1@laptop'), checkout = await of('workload:shop/checkout-v1@laptop'), ledger = await of('workload:shop/ledger-v1@laptop')
  for (const b of ['faultInjection', 'requestTimeout', 'virtualService', 'mirroring']) assert.ok(pricing.includes(b), `${b} is missing in ${pricing}`)
  assert.ok(checkout.includes('circuitBreaker') && !checkout.includes('missingSidecar'), String(checkout))
  assert.ok(ledger.includes('missingSidecar'), String(ledger))
  await open('/topology?chosen=' + encodeURIComponent('workload:shop/pricing-v1@laptop'))
  await page.getByRole('heading', { name: 'Configured by' }).waitFor()
  await page.locator('.badges').getByRole('link', { name: 'shop/slow' }).first().waitFor()
  await shot('badges')
  await page.locator('.badges').getByRole('link', { name: 'shop/slow' }).first().click()
  await page.getByRole('heading', { name: 'slow' }).waitFor()
  await page.goBack()
})

await check('the slider shows a moment that is over, and the replay goes on from it', async () => {
  await open('/topology?span=10m')
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 10)
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().some(n => n.id().includes('catalog-v2')))
  await page.locator('.past rect').first().waitFor({ state: 'attached' })
  await page.getByLabel('Moment that is shown').focus()
  await page.keyboard.press('PageDown')
  await page.waitForFunction(() => new URL(location.href).searchParams.has('at'))
  const past = Math.floor(Date.now() / 1000) - 360
  await open(`/topology?span=10m&at=${past}`)
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 8)
  assert.ok(await page.evaluate(() => document.querySelector('.drawing-graph').cy.nodes().every(n => !n.id().includes('catalog-v2'))), 'what began later is there already')
  await page.getByText('--time').waitFor()
  await page.locator('.moment-says').getByText('ago').waitFor()
  await page.waitForTimeout(300)
  await shot('past')
  await page.getByRole('button', { name: /^Replay/ }).click()
  await page.waitForFunction(t => Number(new URL(location.href).searchParams.get('at')) > t, past)
  await page.getByRole('button', { name: /Pause/ }).click()
  await page.getByRole('button', { name: 'Live' }).click()
  await page.waitForFunction(() => !new URL(location.href).searchParams.has('at'))
})

await check('two moments are compared: what is new is marked, in the picture and in words', async () => {
  await open(`/topology?span=10m&versus=${Math.floor(Date.now() / 1000) - 360}`)
  await page.getByText(/Compared with .*: .*new/).first().waitFor()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes('[change = "new"]').some(n => n.id().includes('catalog-v2')))
  assert.ok(await page.evaluate(() => document.querySelector('.drawing-graph').cy.getElementById('workload:shop/payment-v1@laptop').data('change') === undefined), 'what is as it was is marked')
  await page.waitForTimeout(300)
  await shot('compare')
  await page.getByRole('button', { name: 'changed', exact: true }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes('.found').length > 0)
  await page.getByRole('button', { name: 'Table' }).click()
  await page.getByRole('row', { name: /catalog-v2.*new: New since then/ }).first().waitFor()
  await open('/topology')
  await page.locator('.drawing-graph').waitFor()
})

await check('edges say what is chosen', async () => {
  await page.getByRole('button', { name: /On edges/ }).focus()
  await page.keyboard.press('Enter')
  await page.getByRole('option', { name: '95th percentile' }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.edges().some(e => / ms$/.test(e.data('label'))))
  assert.match(page.url(), /label=p95/)
})

await check('a node is told of in words, with the command', async () => {
  await open('/topology?label=p95&chosen=' + encodeURIComponent('workload:shop/checkout-v1@laptop'))
  await page.getByText('Of its requests 35.3 % were answered with 5xx').waitFor()
  await page.locator('.panel code').getByText('heddle query').waitFor()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 10)
  await page.waitForTimeout(400)
  await shot('node')
})

await check('the keyboard alone reaches the table, and it says the same', async () => {
  await open('/topology')
  await page.locator('.drawing-graph').waitFor()
  await page.evaluate(() => document.body.focus())
  let reached = false
  for (let i = 0; i < 60 && !reached; i++) {
    await page.keyboard.press('Tab')
    reached = await page.evaluate(() => document.activeElement?.textContent === 'Table')
  }
  assert.ok(reached, 'Tab never comes to the button Table')
  await page.keyboard.press('Enter')
  const row = page.getByRole('row', { name: /checkout-v1/ }).first()
  await row.waitFor()
  assert.match(await row.textContent(), /Failing/)
  await shot('table')
})

for (const type of ['app', 'versionedApp', 'service']) {
  await check(`a graph of type ${type} is drawn`, async () => {
    await open(`/topology?type=${type}&boxes=${type === 'versionedApp' ? 'app' : 'namespace'}`)
    await appears(() => document.querySelector('.drawing-graph').cy.edges().length > 8)
    await page.waitForTimeout(300)
    await shot(type)
  })
}

for (const [name, wants] of Object.entries({ services: ['checkout', 'Failing', 'pricing'], workloads: ['checkout-v1', 'Failing', 'catalog-v2'], config: ['broken', 'VirtualService', 'kubectl get'] })) {
  await check(`the page ${name} is there by its address`, async () => {
    await open('/' + name)
    await page.locator('tbody tr').first().waitFor()
    const text = await page.locator('main').textContent()
    for (const w of wants) assert.ok(text.includes(w), `${w} is missing`)
    await page.getByRole('link', { name: name[0].toUpperCase() + name.slice(1), exact: true, disabled: false }).and(page.locator('[aria-current=page]')).waitFor()
    await shot(name)
  })
}

await check('an object has its findings and its command', async () => {
  await page.getByRole('link', { name: 'broken' }).click()
  await page.getByText('heddle kubectl get virtualservice.networking.istio.io broken -n shop -o yaml').waitFor()
  assert.ok(await page.locator('.finding').count() > 0)
  await shot('object')
})

await check('what cannot be read is told, and what was read stays', async () => {
  await open('/topology')
  await page.locator('.drawing-graph').waitFor()
  expected = /502|status of 50/
  await page.route('**/api/graph*', r => r.fulfill({ status: 502, contentType: 'application/json', body: '{"error":"ask the metrics for the graph: connection refused"}' }))
  await page.getByText('connection refused').waitFor()
  assert.equal(await page.locator('.drawing-graph').count(), 1)
  await page.reload()
  await page.getByRole('heading', { name: 'This could not be read' }).waitFor()
  await shot('error')
  await page.unroute('**/api/graph*')
  await page.route('**/api/graph*', r => r.fulfill({ status: 200, contentType: 'application/json', body: '{"type":"workload","time":"2026-01-01T00:00:00Z","window":60,"nodes":[],"edges":[]}' }))
  await page.reload()
  await page.getByRole('heading', { name: 'No traffic yet' }).waitFor()
  await shot('empty')
  await page.unroute('**/api/graph*')
  expected = /never/
})

await check('a thousand nodes: first a choice, then a picture', async () => {
  const none = { rate: 1, errorRate: 0, clientErrorRate: 0, p50: 1, p95: 2, p99: 3, requestBytes: 1, responseBytes: 1, connections: 0, mtls: 1 }
  const health = i => ({ state: i % 97 === 0 ? 'failing' : i % 41 === 0 ? 'degraded' : 'healthy', reason: 'made up' })
  const nodes = Array.from({ length: 1000 }, (_, i) => ({ id: `workload:n${i % 20}/w${i}`, kind: 'workload', name: `w${i}`, namespace: `n${i % 20}`, boxes: [`namespace:n${i % 20}`], health: health(i), in: none, out: none }))
  const edges = Array.from({ length: 5000 }, (_, i) => {
    const a = nodes[i % 1000], b = nodes[(i * 7 + Math.floor(i / 1000) + 1) % 1000]
    return { id: `${a.id}>${b.id}>http${i}`, source: a.id, target: b.id, protocol: 'http', reporter: 'source', health: health(i), traffic: none }
  })
  await page.route('**/api/graph*', r => {
    const ns = new URL(r.request().url()).searchParams.get('namespaces')
    const some = ns ? nodes.filter(n => n.namespace === ns) : nodes
    const ids = new Set(some.map(n => n.id))
    return r.fulfill({ status: 200, contentType: 'application/json', body: JSON.stringify({ type: 'workload', time: '2026-01-01T00:00:00Z', window: 60, nodes: some, edges: edges.filter(e => ids.has(e.source) && ids.has(e.target)) }) })
  })
  await open('/topology?refresh=off')
  await page.getByRole('heading', { name: /1000 nodes/ }).waitFor()
  assert.equal(await page.locator('.drawing-graph').count(), 0)
  await shot('filter')
  await page.getByRole('button', { name: /^n0 / }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes(':childless').length === 50)
  await page.getByRole('button', { name: 'Show all namespaces' }).click()
  const begin = Date.now()
  await page.getByRole('button', { name: 'Draw all of them' }).click()
  await appears(() => document.querySelector('.drawing-graph')?.cy.nodes(':childless').length === 1000)
  console.log(`   1000 nodes and 5000 edges are drawn after ${Date.now() - begin} ms`)
  await page.waitForTimeout(500)
  await shot('thousand')
  await page.unroute('**/api/graph*')
})

await check('dark, and narrow', async () => {
  await open('/topology?chosen=' + encodeURIComponent('workload:shop/pricing-v1@laptop'))
  await page.getByRole('button', { name: 'Dark colours' }).click()
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 10)
  await page.waitForTimeout(400)
  await shot('dark')
  await open('/services')
  await page.locator('tbody tr').first().waitFor()
  await shot('dark-services')
  await page.setViewportSize({ width: 480, height: 860 })
  await open('/topology')
  await appears(() => document.querySelector('.drawing-graph').cy.nodes().length > 10)
  await shot('narrow')
})

await check('no error in the console, and no request to another origin', async () => assert.deepEqual(wrong, []))
await browser.close()
