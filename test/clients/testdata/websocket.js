// WebSocket with the ws module: node websocket.js serve prints its port, node websocket.js ask URL CA talks to a server of the same behaviour.
// Exit status 77: the module is not here.
'use strict';
const fs = require('fs'), crypto = require('crypto');
let ws;
try { ws = require('ws'); } catch { process.exit(77); }
const [, , what, url, ca] = process.argv;

function serve() {
  const server = new ws.WebSocketServer({host: '127.0.0.1', port: 0, perMessageDeflate: {threshold: 100}, maxPayload: 0, handleProtocols: () => 'chat'});
  server.on('listening', () => console.log(server.address().port));
  server.on('connection', (c) => c.on('message', (data, binary) => {
    if (!binary && String(data) === 'close') c.close(4001, 'enough');
    else c.send(data, {binary});
  }));
}

async function ask() {
  const c = new ws.WebSocket(url, ['chat'], {perMessageDeflate: {threshold: 100}, maxPayload: 0, ...(ca && {ca: fs.readFileSync(ca)})});
  const once = (event) => new Promise((resolve, reject) => { c.once(event, (...args) => resolve(args)); c.once('error', reject); });
  await once('open');
  check(c.protocol === 'chat', `the protocol is ${c.protocol}`);
  check(c.extensions.includes('permessage-deflate'), `the extensions are ${c.extensions}`);
  for (const sent of ['h\u00e9llo', 'again and '.repeat(50000), crypto.randomBytes(300000), Buffer.alloc(0)]) {
    const back = once('message');
    c.send(sent);
    const [data, binary] = await back;
    check(binary === (typeof sent !== 'string') && Buffer.from(sent).equals(data), `${data.length} bytes came back of ${sent.length}`);
  }
  let back = once('message');
  for (const [i, piece] of ['one ', 'two ', 'three'].entries()) c.send(piece, {fin: i === 2});
  check(String((await back)[0]) === 'one two three', 'the pieces of a message');
  back = once('pong');
  c.ping('there?');
  check(String((await back)[0]) === 'there?', 'the pong');
  back = once('close');
  c.send('close');
  const [code, reason] = await back;
  check(code === 4001 && String(reason) === 'enough', `closed with ${code} ${reason}`);
  console.log('ok');
}

function check(good, otherwise) { if (!good) throw new Error(otherwise); }

if (what === 'serve') serve();
else ask().catch((e) => { console.error(e); process.exit(1); });
