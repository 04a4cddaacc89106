// Fastify with a schema on both sides of its handler, called by undici over 64 kept connections: JSON over HTTP/1.1.

import fastify from "fastify";
import { Pool } from "undici";
import { message } from "./message.mjs";

const shape = {
  type: "object",
  required: ["by", "memo"],
  properties: { by: { type: "integer" }, memo: { type: "string", maxLength: 200 } },
};

export async function serve() {
  const server = fastify({ logger: false });
  server.post("/say", { schema: { body: shape, response: { 200: shape } } }, (request, reply) =>
    reply.send(request.body),
  );
  return server.listen({ host: "127.0.0.1", port: 0 });
}

export async function open(url) {
  const pool = new Pool(url, { connections: 64 });
  const body = JSON.stringify(message);
  const headers = { "content-type": "application/json" };
  const once = async () => {
    const answer = await pool.request({ method: "POST", path: "/say", body, headers });
    if (answer.statusCode !== 200) throw new Error(`HTTP ${answer.statusCode}`);
    return answer.body.json();
  };
  return { once, close: () => pool.destroy() };
}
