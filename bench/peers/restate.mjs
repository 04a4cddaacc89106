// Restate, one server: a virtual object that adds to its state, called through the server's ingress.

import { once } from "node:events";
import { createServer } from "node:http2";
import * as restate from "@restatedev/restate-sdk";
import { request } from "undici";
import { httpCalls } from "./http-calls.mjs";
import { keyOf } from "./keys.mjs";

const counter = restate.object({
  name: "counter",
  handlers: {
    add: async (context, input) => {
      const total = ((await context.get("total")) ?? 0) + input.by;
      context.set("total", total);
      return { total };
    },
  },
});

export async function serve({ ingress, admin }) {
  const server = createServer(restate.createEndpointHandler({ services: [counter] }));
  await once(server.listen(0, "127.0.0.1"), "listening");
  const uri = `http://127.0.0.1:${server.address().port}`;
  const headers = { "content-type": "application/json" };
  const answer = await request(`${admin}/deployments`, { method: "POST", headers, body: JSON.stringify({ uri }) });
  if (answer.statusCode >= 300) throw new Error(`Restate refused the service: ${await answer.body.text()}`);
  await answer.body.dump();
  return ingress;
}

export const open = async (url) => httpCalls(url, (n) => `/counter/${keyOf(n)}/add`, { by: 1, memo: "x".repeat(80) });
