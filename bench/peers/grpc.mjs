// @grpc/grpc-js, a unary call without TLS; messages as JSON, which costs it less than a generated codec in JavaScript.

import { credentials, makeClientConstructor, Server, ServerCredentials } from "@grpc/grpc-js";
import { message } from "./message.mjs";

const write = (value) => Buffer.from(JSON.stringify(value));
const read = (bytes) => JSON.parse(bytes.toString());
const codec = {
  requestSerialize: write,
  requestDeserialize: read,
  responseSerialize: write,
  responseDeserialize: read,
};
const definition = { say: { path: "/echo.Echo/say", requestStream: false, responseStream: false, ...codec } };

export async function serve() {
  const server = new Server();
  server.addService(definition, { say: (call, done) => done(null, call.request) });
  return new Promise((resolve, reject) => {
    server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, port) =>
      error ? reject(error) : resolve(port),
    );
  });
}

export async function open(port) {
  const Client = makeClientConstructor(definition, "echo");
  const client = new Client(`127.0.0.1:${port}`, credentials.createInsecure());
  const once = () =>
    new Promise((resolve, reject) => {
      client.say(message, (error, answer) => (error ? reject(error) : resolve(answer)));
    });
  return { once, close: () => client.close() };
}
