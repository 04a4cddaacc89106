// NestJS microservices over TCP: no TLS, no validation, JSON. Decorators are called as functions, so that nothing is compiled.

import { Controller, Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { ClientProxyFactory, MessagePattern, Transport } from "@nestjs/microservices";
import { firstValueFrom } from "rxjs";
import { message } from "./message.mjs";

class Echo {
  say(given) {
    return given;
  }
}
MessagePattern("say")(Echo.prototype, "say", Object.getOwnPropertyDescriptor(Echo.prototype, "say"));
Controller()(Echo);
function App() {}
Module({ controllers: [Echo] })(App);

export async function serve() {
  const options = { host: "127.0.0.1", port: 0 };
  const app = await NestFactory.createMicroservice(App, { transport: Transport.TCP, options, logger: false });
  await app.listen();
  return app.unwrap().address().port;
}

export async function open(port) {
  const client = ClientProxyFactory.create({ transport: Transport.TCP, options: { host: "127.0.0.1", port } });
  await client.connect();
  return { once: () => firstValueFrom(client.send("say", message)), close: () => client.close() };
}
