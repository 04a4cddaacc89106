// Calls of an HTTP service that answers JSON, over 64 kept connections.

import { Pool } from "undici";

/** `pathOf` of an operation's number; every call carries the same input. */
export function httpCalls(url, pathOf, input) {
  const pool = new Pool(url, { connections: 64 });
  const [body, headers] = [JSON.stringify(input), { "content-type": "application/json" }];
  const once = async (n) => {
    const answer = await pool.request({ method: "POST", path: pathOf(n), body, headers });
    if (answer.statusCode >= 300) throw new Error(`HTTP ${answer.statusCode}: ${await answer.body.text()}`);
    return answer.body.text();
  };
  return { once, close: () => pool.destroy() };
}
