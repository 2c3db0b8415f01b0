// node server.js PORT: the TestService of gRPC's interoperability suite (doc/interop-test-descriptions.md in the grpc repository).
'use strict';
const {grpc, testing} = require('./common');

// echo gives back the metadata that the suite asks to have back.
function echo(call) {
  const initial = call.metadata.get('x-grpc-test-echo-initial');
  const trailing = call.metadata.get('x-grpc-test-echo-trailing-bin');
  const head = new grpc.Metadata();
  const end = new grpc.Metadata();
  if (initial.length) head.set('x-grpc-test-echo-initial', initial[0]);
  if (trailing.length) end.set('x-grpc-test-echo-trailing-bin', trailing[0]);
  call.sendMetadata(head);
  return end;
}

// asked is the error that a request asks for, or null.
function asked(request, end) {
  const status = request.response_status;
  return status && status.code !== 0 ? {code: status.code, details: status.message, metadata: end} : null;
}

const payload = size => ({type: 'COMPRESSABLE', body: Buffer.alloc(size)});

// answer writes the responses that a request asks for, in order.
async function answer(call, request) {
  for (const parameters of request.response_parameters) {
    if (parameters.interval_us) await new Promise(done => setTimeout(done, parameters.interval_us / 1000));
    call.write({payload: payload(parameters.size)});
  }
}

const server = new grpc.Server({'grpc.max_receive_message_length': -1, 'grpc.max_send_message_length': -1});
server.addService(testing.TestService.service, {
  EmptyCall(call, reply) {
    const end = echo(call);
    reply(null, {}, end);
  },
  UnaryCall(call, reply) {
    const end = echo(call);
    const error = asked(call.request, end);
    if (error) reply(error);
    else reply(null, {payload: payload(call.request.response_size)}, end);
  },
  StreamingInputCall(call, reply) {
    const end = echo(call);
    let size = 0;
    call.on('data', request => { size += request.payload.body.length; });
    call.on('end', () => reply(null, {aggregated_payload_size: size}, end));
  },
  async StreamingOutputCall(call) {
    const end = echo(call);
    await answer(call, call.request);
    call.end(end);
  },
  FullDuplexCall(call) {
    const end = echo(call);
    let before = Promise.resolve();
    call.on('data', request => {
      before = before.then(() => {
        const error = asked(request, end);
        if (error) call.emit('error', error);
        else return answer(call, request);
      });
    });
    call.on('end', () => before.then(() => call.end(end)));
  },
});
server.bindAsync(`127.0.0.1:${process.argv[2]}`, grpc.ServerCredentials.createInsecure(), error => {
  if (error) throw error;
  console.log('ready');
});
