// node client.js PORT CASE: one case of gRPC's interoperability suite (doc/interop-test-descriptions.md in the grpc repository). The exit code is 0 when it passes.
'use strict';
const assert = require('assert');
const {grpc, testing} = require('./common');

const options = {'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1};
const address = `127.0.0.1:${process.argv[2]}`;
const client = new testing.TestService(address, grpc.credentials.createInsecure(), options);
const sent = [27182, 8, 1828, 45904];
const wanted = [31415, 9, 2653, 58979];
const payload = size => ({type: 'COMPRESSABLE', body: Buffer.alloc(size)});

// unary makes a call and gives the response, or throws the error of gRPC.
function unary(method, request, metadata = new grpc.Metadata()) {
  return new Promise((resolve, reject) => {
    let head;
    const call = client[method](request, metadata, (error, response) => { if (error) reject(error); else call.on('status', status => resolve({response, head, status})); });
    call.on('metadata', m => { head = m; });
  });
}

// code is the status with which a promise fails.
async function code(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  return {code: grpc.status.OK};
}

// ended is the status of a stream.
const ended = call => new Promise(resolve => { call.on('error', () => {}); call.on('status', resolve); });

const echoed = new grpc.Metadata();
echoed.set('x-grpc-test-echo-initial', 'test_initial_metadata_value');
echoed.set('x-grpc-test-echo-trailing-bin', Buffer.from([0xab, 0xab, 0xab]));

function checkEchoed(head, status) {
  assert.deepStrictEqual(head.get('x-grpc-test-echo-initial'), ['test_initial_metadata_value']);
  assert.deepStrictEqual(status.metadata.get('x-grpc-test-echo-trailing-bin'), [Buffer.from([0xab, 0xab, 0xab])]);
}

const cases = {
  async empty_unary() { await unary('EmptyCall', {}); },
  async large_unary() {
    const {response} = await unary('UnaryCall', {response_size: 314159, payload: payload(271828)});
    assert.deepStrictEqual(response.payload.body, Buffer.alloc(314159));
  },
  async client_streaming() {
    const response = await new Promise((resolve, reject) => {
      const call = client.StreamingInputCall((error, r) => error ? reject(error) : resolve(r));
      for (const size of sent) call.write({payload: payload(size)});
      call.end();
    });
    assert.strictEqual(response.aggregated_payload_size, 74922);
  },
  async server_streaming() {
    const call = client.StreamingOutputCall({response_parameters: wanted.map(size => ({size}))});
    const got = [];
    call.on('data', r => got.push(r.payload.body.length));
    assert.strictEqual((await ended(call)).code, grpc.status.OK);
    assert.deepStrictEqual(got, wanted);
  },
  async ping_pong() {
    const call = client.FullDuplexCall();
    const status = ended(call);
    for (let i = 0; i < sent.length; i++) {
      const next = new Promise(resolve => call.once('data', resolve));
      call.write({response_parameters: [{size: wanted[i]}], payload: payload(sent[i])});
      assert.strictEqual((await next).payload.body.length, wanted[i]);
    }
    call.end();
    call.on('data', () => assert.fail('a response more than was asked for'));
    assert.strictEqual((await status).code, grpc.status.OK);
  },
  async empty_stream() {
    const call = client.FullDuplexCall();
    call.on('data', () => assert.fail('a response that was not asked for'));
    call.end();
    assert.strictEqual((await ended(call)).code, grpc.status.OK);
  },
  async timeout_on_sleeping_server() {
    const call = client.FullDuplexCall(new grpc.Metadata(), {deadline: Date.now() + 1});
    call.on('data', () => {});
    const status = ended(call);
    call.write({payload: payload(27182)}, () => {});
    assert.strictEqual((await status).code, grpc.status.DEADLINE_EXCEEDED);
  },
  async cancel_after_begin() {
    const failed = new Promise(resolve => {
      const call = client.StreamingInputCall(error => resolve(error));
      call.cancel();
    });
    assert.strictEqual((await failed).code, grpc.status.CANCELLED);
  },
  async cancel_after_first_response() {
    const call = client.FullDuplexCall();
    const status = ended(call);
    call.on('data', () => call.cancel());
    call.write({response_parameters: [{size: 31415}], payload: payload(27182)});
    assert.strictEqual((await status).code, grpc.status.CANCELLED);
  },
  async custom_metadata() {
    const {head, status} = await unary('UnaryCall', {response_size: 314159, payload: payload(271828)}, echoed);
    checkEchoed(head, status);
    const call = client.FullDuplexCall(echoed);
    const first = new Promise(resolve => call.on('metadata', resolve));
    const last = ended(call);
    call.on('data', () => {});
    call.write({response_parameters: [{size: 314159}], payload: payload(271828)});
    call.end();
    checkEchoed(await first, await last);
  },
  async status_code_and_message() {
    const request = {response_status: {code: 2, message: 'test status message'}};
    const error = await code(unary('UnaryCall', request));
    assert.strictEqual(error.code, 2);
    assert.strictEqual(error.details, 'test status message');
    const call = client.FullDuplexCall();
    const status = ended(call);
    call.on('data', () => {});
    call.write(request);
    call.end();
    assert.strictEqual((await status).code, 2);
    assert.strictEqual((await status).details, 'test status message');
  },
  async special_status_message() {
    const message = '\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n';
    const error = await code(unary('UnaryCall', {response_status: {code: 2, message}}));
    assert.strictEqual(error.code, 2);
    assert.strictEqual(error.details, message);
  },
  async unimplemented_method() { assert.strictEqual((await code(unary('UnimplementedCall', {}))).code, grpc.status.UNIMPLEMENTED); },
  async unimplemented_service() {
    const other = new testing.UnimplementedService(address, grpc.credentials.createInsecure());
    const error = await new Promise(resolve => other.UnimplementedCall({}, resolve));
    other.close();
    assert.strictEqual(error.code, grpc.status.UNIMPLEMENTED);
  },
};

cases[process.argv[3]]().then(() => client.close(), error => {
  console.error(error);
  process.exit(1);
});
