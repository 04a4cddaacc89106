// What a call carries besides when one node passes it on to another: on whose behalf, from inside which commands, and what
// its issuer needs no more. Only believed of a connection between nodes, whose other end proved who it is.

import { SheafError } from "../base/index.ts";
import { pack } from "../wire/index.ts";
import type { Call, Link, Operation, Principal } from "./call.ts";
import { fieldsOf, type Pending } from "./pending.ts";

export type Relay = {
  readonly principal: Principal;
  readonly chain: readonly Link[] | undefined;
  readonly settled: number | undefined;
  readonly open?: readonly number[] | undefined;
  readonly fingerprint?: Uint8Array | undefined;
};

/** The parts of a call that cross to another node. Throws BAD_INPUT and TOO_LARGE as `fieldsOf` does. `node` marks the links
 *  of the chain that are this node's own. */
export function relayed(call: Call, node: string, limits: { maxDepth: number; maxItems: number }): Pending["fields"] {
  const { principal, chain, op } = call;
  const links = chain?.map((link) => [link.op.includes("@") ? link.op : `${link.op}@${node}`, link.type, link.key]);
  const settled = settledOf(op);
  const fingerprint = op?.fingerprint;
  const plain = !links && settled === null && !fingerprint;
  const relay = plain
    ? alone(principal)
    : pack([principal.id, principal.roles, links ?? null, settled, ...(fingerprint ? [fingerprint] : [])]);
  const fields = fieldsOf(call, () => 0, limits);
  return { ...fields, op: op?.id, issuedAt: op?.issuedAt, relay };
}

const packed = new WeakMap<Principal, Uint8Array>();

/** What is said of most calls, which are many on behalf of one caller. */
function alone(principal: Principal): Uint8Array {
  let bytes = packed.get(principal);
  if (!bytes) {
    bytes = pack([principal.id, principal.roles, null, null]);
    packed.set(principal, bytes);
  }
  return bytes;
}

const settledOf = (op: Operation | undefined): unknown =>
  op?.open?.length ? [op.settled, ...op.open] : (op?.settled ?? null);

const broken = (): SheafError => new SheafError("MALFORMED", "frame: what a node passes on cannot be read");

/** Throws MALFORMED. Links of `node`, which came back to it, are its own again. */
export function readRelay(value: unknown, node: string): Relay {
  if (!Array.isArray(value)) throw broken();
  const [id, roles, chain, settled, fingerprint] = value as unknown[];
  if (typeof id !== "string" || !Array.isArray(roles) || !roles.every((role) => typeof role === "string"))
    throw broken();
  const marks: unknown[] = settled === null ? [] : Array.isArray(settled) ? settled : [settled];
  if (!marks.every((mark) => typeof mark === "number" && mark >= 0)) throw broken();
  if (fingerprint !== undefined && !(fingerprint instanceof Uint8Array)) throw broken();
  const [below, ...open] = marks as number[];
  return {
    principal: { id, roles },
    chain: chain === null ? undefined : readChain(chain, node),
    settled: below,
    ...(open.length > 0 && { open }),
    ...(fingerprint && { fingerprint: fingerprint.slice() }),
  };
}

function readChain(value: unknown, node: string): Link[] {
  if (!Array.isArray(value)) throw broken();
  return value.map((link: unknown) => {
    if (!Array.isArray(link) || !link.every((part) => typeof part === "string") || link.length !== 3) throw broken();
    const [op, type, key] = link as [string, string, string];
    return { op: op.endsWith(`@${node}`) ? op.slice(0, -node.length - 1) : op, type, key };
  });
}

/** The operation of a call that was passed on, as its first node knew it. */
export const relayedOperation = (
  op: number | string | undefined,
  issuedAt: number | undefined,
  { settled, open, fingerprint }: Relay,
): Operation | undefined =>
  typeof op === "string"
    ? { id: op, issuedAt, settled, ...(open && { open }), ...(fingerprint && { fingerprint }) }
    : undefined;
