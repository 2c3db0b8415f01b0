// What client and server share: the suite's services, from descriptors that the test wrote.
'use strict';
const fs = require('fs');
const path = require('path');
const from = path.join(process.env.LIBRARIES, 'node_modules');
const grpc = require(path.join(from, '@grpc/grpc-js'));
const loader = require(path.join(from, '@grpc/proto-loader'));

const definition = loader.loadFileDescriptorSetFromBuffer(fs.readFileSync(process.env.DESCRIPTORS), {keepCase: true, defaults: true, enums: String});
module.exports = {grpc, testing: grpc.loadPackageDefinition(definition).grpc.testing};
