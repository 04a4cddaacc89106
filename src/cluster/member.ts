// A member: a running process as the others see it, and the record in which it tells them, kept in the engine's registry.
// Records are written by other releases and pass through a store that anyone with its password may write to: what does
// not read as one exactly is no record.

import type { Instant } from "../base/index.ts";
import { pack, unpackUntrusted } from "../wire/index.ts";

export const memberStates = ["starting", "ready", "draining"] as const;
export type MemberState = (typeof memberStates)[number];

export type Member = {
  /** Unique per run of a process. */
  readonly id: string;
  /** Stays over restarts: the identity of the node's data folder. Placement goes by it. */
  readonly name: string;
  /** The address that other nodes dial. */
  readonly peer: string;
  readonly gateway: string | null;
  readonly admin: string | null;
  /** Copies of a shard are spread over zones. "" is a zone like any other. */
  readonly zone: string;
  /** Share of the shards, relative to the others'. 0: none, as long as there is anyone else. */
  readonly weight: number;
  readonly release: string;
  /** Names of the services whose procedures it runs. */
  readonly services: readonly string[];
  /** Whether it hosts entities, and so shards. */
  readonly entities: boolean;
  /** Of a cluster that keeps some apart: by which roles it goes (`roleOfShard`); null hosts them all. */
  readonly hosts: readonly string[] | null;
  readonly state: MemberState;
  /** Gets nothing new and keeps what it has: an operator's wish. */
  readonly cordoned: boolean;
  readonly startedAt: Instant;
  readonly pid: number;
  /** Of Sheaf. */
  readonly version: string;
};

export type MemberRecord = {
  readonly member: Member;
  /** Raised with every write. Its age is measured by each reader on its own clock, from when it was seen to change. */
  readonly beat: number;
  /** Ids of the members that the writer cannot hear although they beat. */
  readonly accuses: readonly string[];
};

const format = 1;
const longest = { text: 512, services: 1024, accuses: 4096, bytes: 512 * 1024 };

/** The bytes of a record. Lists and texts over the limits are the caller's mistake and would not be read back. */
export function packMemberRecord({ member, beat, accuses }: MemberRecord): Uint8Array {
  const { hosts, ...rest } = member;
  return pack({ format, beat, accuses, member: hosts === null ? rest : member });
}

type Fields = Readonly<Record<string, unknown>>;

const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);
const isText = (value: unknown): value is string => typeof value === "string" && value.length <= longest.text;
const isName = (value: unknown): value is string => isText(value) && value !== "";
const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0;
const isTexts = (value: unknown, most: number): value is readonly string[] =>
  Array.isArray(value) && value.length <= most && value.every(isName);
const isState = (value: unknown): value is MemberState => memberStates.some((state) => state === value);

/** The record that the bytes are, or undefined when they are none. Never throws. Fields unknown here are left out: a
 *  newer release may add some. */
export function unpackMemberRecord(bytes: Uint8Array): MemberRecord | undefined {
  let value: unknown;
  try {
    value = unpackUntrusted(bytes, { maxBytes: longest.bytes, maxDepth: 8, maxItems: 8192 });
  } catch {
    return undefined;
  }
  if (!isFields(value) || value["format"] !== format) return undefined;
  const { beat, accuses } = value;
  const member = memberOf(value["member"]);
  if (member === undefined || !isCount(beat) || !isTexts(accuses, longest.accuses)) return undefined;
  return { member, beat, accuses };
}

function memberOf(value: unknown): Member | undefined {
  if (!isFields(value)) return undefined;
  const { id, name, peer, gateway, admin, zone, weight, release, services } = value;
  const { entities, hosts = null, state, cordoned, startedAt, pid, version } = value;
  if (!isName(id) || !isName(name) || !isName(peer)) return undefined;
  if ((gateway !== null && !isName(gateway)) || (admin !== null && !isName(admin))) return undefined;
  if (!isText(zone) || !isText(release) || !isText(version) || !isTexts(services, longest.services)) return undefined;
  if (typeof weight !== "number" || !(weight >= 0 && weight <= 1e6)) return undefined;
  if (hosts !== null && !isTexts(hosts, longest.services)) return undefined;
  if (typeof entities !== "boolean" || typeof cordoned !== "boolean" || !isState(state)) return undefined;
  if (typeof startedAt !== "number" || !Number.isFinite(startedAt) || !isCount(pid)) return undefined;
  return {
    id,
    name,
    peer,
    gateway,
    admin,
    zone,
    weight,
    release,
    services,
    entities,
    hosts,
    state,
    cordoned,
    startedAt,
    pid,
    version,
  };
}

/** Whether two descriptions say the same. */
export function sameMember(a: Member, b: Member): boolean {
  if (a === b) return true;
  return (Object.keys(a) as (keyof Member)[]).every((field) => {
    const [one, other] = [a[field], b[field]];
    return Array.isArray(one) && Array.isArray(other)
      ? one.length === other.length && one.every((name, i) => name === other[i])
      : one === other;
  });
}

/** Whether it hosts the entities that go by this role. */
export const mayHost = ({ entities, hosts }: Pick<Member, "entities" | "hosts">, role: string): boolean =>
  entities && (hosts === null || hosts.includes(role));
