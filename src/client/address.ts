// Where a gateway is: one address written as http, https, ws or wss, used as both.

import { SheafError } from "../base/index.ts";

export type Address = {
  /** Of the socket, `ws:` or `wss:`. */
  readonly socket: string;
  /** Prefix of HTTP routes, without a slash at the end. */
  readonly http: string;
};

/** Throws USAGE for what is not an address of a gateway. A token in the address is refused: addresses end up in logs. */
export function addressOf(text: string): Address {
  const url = URL.parse(text);
  const secure = url?.protocol === "https:" || url?.protocol === "wss:";
  if (url === null || (!secure && url.protocol !== "http:" && url.protocol !== "ws:")) {
    throw new SheafError("USAGE", `not the address of a gateway: ${text}`, {
      hint: "It looks like http://localhost:4000",
    });
  }
  if (url.username !== "" || url.password !== "" || url.search !== "" || url.hash !== "") {
    throw new SheafError("USAGE", "a gateway's address has no user, query or fragment", {
      hint: "Pass the API key as `token`.",
    });
  }
  const rest = `${url.host}${url.pathname.replace(/\/+$/, "")}`;
  return { socket: `${secure ? "wss" : "ws"}://${rest}/connect`, http: `${secure ? "https" : "http"}://${rest}` };
}
