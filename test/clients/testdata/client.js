// Asks with Node's http2: node client.js URL CA. It echoes a body of 1 MiB on ten streams at once, and wants trailers.
'use strict';
const http2 = require('http2'), fs = require('fs'), crypto = require('crypto');
const [url, ca] = process.argv.slice(2);
// Above maxSessionMemory (10 MB by default, and so much is sent at once) Node itself ends streams with ENHANCE_YOUR_CALM.
const session = http2.connect(url, {maxSessionMemory: 100, ...(ca && {ca: fs.readFileSync(ca)})});
session.on('error', fail);

function fail(e) { console.error(e); process.exit(1); }

function echo() {
  return new Promise((resolve, reject) => {
    const sent = crypto.randomBytes(1 << 20), got = [];
    const stream = session.request({':method': 'POST', ':path': '/echo', 'te': 'trailers'});
    let status = 0, trailers = {};
    stream.on('response', (h) => { status = h[':status']; });
    stream.on('trailers', (t) => { trailers = t; });
    stream.on('data', (d) => got.push(d));
    stream.on('error', reject);
    stream.on('end', () => {
      if (status !== 200 || !Buffer.concat(got).equals(sent) || trailers['x-sum'] !== String(sent.length)) reject(new Error(`status ${status}, ${Buffer.concat(got).length} bytes, trailers ${JSON.stringify(trailers)}`));
      else resolve();
    });
    stream.end(sent);
  });
}

Promise.all(Array.from({length: 10}, echo)).then(() => { session.close(); console.log('ok'); }, fail);
