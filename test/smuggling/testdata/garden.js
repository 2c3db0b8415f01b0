// Parses recorded connections with Node's HTTP/1 and HTTP/2 servers. In: a line of JSON for each, {http2, bytes (base64)}. Out: a line of JSON for each, the requests.
'use strict';
const http = require('http'), http2 = require('http2'), {Duplex} = require('stream'), readline = require('readline');

// pipe is a connection that has said all that it will say.
function pipe(bytes) {
  return new Duplex({
    read() { if (bytes) { this.push(bytes); bytes = null; } },
    write(chunk, encoding, done) { done(); },
  });
}

function note(list, method, host, path, headers, raw) {
  const all = (name) => {
    const out = [];
    for (let i = 0; i < raw.length; i += 2) if (raw[i].toLowerCase() === name) out.push(raw[i + 1]);
    return out;
  };
  const seen = {Method: method, Host: host, Path: path, Role: all('x-role'), Front: all('x-front'), Bytes: -1};
  list.push(seen);
  return seen;
}

function follow(stream, seen) {
  let n = 0;
  stream.on('data', (d) => { n += d.length; });
  stream.on('end', () => { seen.Bytes = n; });
  stream.on('error', () => {});
}

function one(http1, bytes, list) {
  const first = http.createServer((req, res) => {
    follow(req, note(list, req.method, req.headers.host || '', req.url, req.headers, req.rawHeaders));
    res.end();
  });
  first.on('connect', (req) => note(list, req.method, req.headers.host || '', req.url, req.headers, req.rawHeaders));
  first.on('clientError', (e) => { list.error = e.code; });
  first.keepAliveTimeout = 0;
  first.maxRequestsPerSocket = 0;
  const second = http2.createServer();
  second.on('stream', (stream, headers, flags, raw) => {
    follow(stream, note(list, headers[':method'], headers[':authority'] || '', headers[':path'], headers, raw));
    if (!stream.destroyed) stream.respond({':status': 200}, {endStream: true});
  });
  for (const e of ['sessionError', 'error']) second.on(e, () => {});
  (http1 ? first : second).emit('connection', pipe(bytes));
}

const lists = [];
readline.createInterface({input: process.stdin}).on('line', (line) => {
  const {http2, bytes} = JSON.parse(line), list = [];
  lists.push(list);
  one(!http2, Buffer.from(bytes, 'base64'), list);
}).on('close', () => setTimeout(() => {
  process.stdout.write(lists.map((l) => JSON.stringify(l) + '\n').join(''), () => process.exit(0));
}, 1500));
