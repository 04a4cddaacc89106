// The two ends of a node's connections with others in the form in which a node takes them (`NodeOptions.meeting`): addresses are
// text, and who listens is said after the port is open.

import { SheafError } from "../base/index.ts";
import type { PeerDial, Pipe, PipeEnd } from "../rpc/index.ts";
import { dialPeer } from "./peer-dial.ts";
import { listenPeers, type ListenPeersOptions } from "./peer-listener.ts";

export type OpenPeersOptions = Omit<ListenPeersOptions, "open"> & {
  /** Host, or HOST:PORT, at which other machines reach this one; needed when `host` is every address (0.0.0.0 or ::). */
  readonly advertise?: string | undefined;
};

export interface Peers {
  /** HOST:PORT, for other nodes. */
  readonly address: string;
  readonly dial: PeerDial;
  /** Answers connections from now on, until the returned function is called; before and after that they are sent away. */
  listen(accept: (pipe: Pipe) => PipeEnd): () => void;
  close(why?: string): Promise<void>;
}

/** Opens the port. Rejects as `listenPeers`, and with USAGE when no address for others is known. */
export async function openPeers(options: OpenPeersOptions): Promise<Peers> {
  const { identity, limits, world, host = "127.0.0.1", advertise } = options;
  if (advertise === undefined && ["0.0.0.0", "::"].includes(host)) {
    throw new SheafError("USAGE", `other nodes cannot be told to connect to ${host}`, {
      hint: "say at which address they reach this machine",
    });
  }
  let accept: ((pipe: Pipe) => PipeEnd) | undefined;
  const listener = await listenPeers({
    ...options,
    open(pipe) {
      if (accept !== undefined) return accept(pipe);
      pipe.close("the node is starting or stopping");
      return { message() {}, drained() {}, closed() {} };
    },
  });
  return {
    address: addressOf(advertise ?? host, listener.port),
    dial(address, end) {
      const to = hostAndPort(address);
      if (to === undefined) {
        const timer = world.clock.after(0, () => end.failed(`${address} is not HOST:PORT`, false));
        return () => timer.cancel();
      }
      return dialPeer(
        { ...to, identity, limits, world },
        { opened: (pipe) => end.opened(pipe), failed: ({ message }, loss) => end.failed(message, loss === "refused") },
      );
    },
    listen(given) {
      accept = given;
      return () => {
        if (accept === given) accept = undefined;
      };
    },
    close: (why) => listener.close(why),
  };
}

function addressOf(host: string, port: number): string {
  if (hostAndPort(host) !== undefined) return host;
  return host.includes(":") && !host.startsWith("[") ? `[${host}]:${port}` : `${host}:${port}`;
}

/** The parts of HOST:PORT; an IPv6 address stands in brackets. */
function hostAndPort(address: string): { readonly host: string; readonly port: number } | undefined {
  const [, bracketed, plain, port] = /^(?:\[([^\]]+)\]|([^:[\]]+)):(\d{1,5})$/.exec(address) ?? [];
  const host = bracketed ?? plain;
  return host === undefined || Number(port) > 65_535 ? undefined : { host, port: Number(port) };
}
