// A client and a server without a proxy: reads one JSON object per line that says what to do, and answers with one line (see ask and got of the test).
'use strict';
const fs = require('fs');
const path = require('path');
const readline = require('readline');
const from = path.join(process.env.LIBRARIES, 'node_modules');
const grpc = require(path.join(from, '@grpc/grpc-js'));
const xds = require(path.join(from, '@grpc/grpc-js-xds'));
xds.register();

const same = b => b;
const channels = new Map();

function client(ask) {
  const key = ask.target + ' ' + ask.channel;
  if (!channels.has(key)) {
    const credentials = new xds.XdsChannelCredentials(grpc.credentials.createInsecure());
    // Channels of one target share connections unless their options differ.
    channels.set(key, new grpc.Client(ask.target, credentials, {'heddle.channel': ask.channel}));
  }
  return channels.get(key);
}

function call(ask) {
  return new Promise(resolve => {
    const metadata = new grpc.Metadata();
    for (const [k, v] of Object.entries(ask.headers || {})) metadata.set(k, v);
    client(ask).makeUnaryRequest(ask.path, same, same, Buffer.alloc(0), metadata, {deadline: Date.now() + ask.timeoutMs}, (err, body) => {
      resolve({Code: err ? err.code : 0, Message: err ? err.details : '', Body: err ? '' : body.toString()});
    });
  });
}

function identity(call) {
  const names = (call.getAuthContext().sslPeerCertificate || {}).subjectaltname || '';
  return names.replace(/^URI:/, '');
}

function serve(address) {
  const server = new xds.XdsServer();
  const answer = (call, callback) => {
    const headers = {};
    for (const [k, v] of Object.entries(call.metadata.getMap())) headers[k] = v.toString();
    callback(null, Buffer.from(JSON.stringify({Server: 'node', Path: '/echo.Echo/Get', Peer: identity(call), Headers: headers})));
  };
  const method = name => ({path: '/echo.Echo/' + name, requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same});
  server.addService({Get: method('Get'), Admin: method('Admin')}, {Get: answer, Admin: answer});
  return new Promise((resolve, reject) => {
    server.bindAsync(address, new xds.XdsServerCredentials(grpc.ServerCredentials.createInsecure()), err => (err ? reject(err) : resolve([])));
  });
}

async function obey(ask) {
  if (ask.serve) return serve(ask.serve);
  const out = [];
  if (ask.together) {
    for (let i = 0; i < ask.n; i++) {
      out.push(call(ask));
      await new Promise(resolve => setTimeout(resolve, ask.gapMs));
    }
    return Promise.all(out);
  }
  for (let i = 0; i < ask.n; i++) out.push(await call(ask));
  return out;
}

let last = Promise.resolve();
readline.createInterface({input: process.stdin}).on('line', line => {
  last = last.then(() => obey(JSON.parse(line))).then(list => fs.writeSync(1, JSON.stringify(list) + '\n'));
}).on('close', () => process.exit(0));
