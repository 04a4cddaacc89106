// One record of each kind with fixed contents, for this folder's tests and benches: never changed, because golden files
// hold their bytes.

import { utf8 } from "../base/index.ts";
import { pack } from "../wire/index.ts";
import type { Commit, JournalRecord, Payload } from "./record.ts";

export const sampleCluster = "00112233445566778899aabbccddeeff";
export const sampleKey = Uint8Array.from({ length: 32 }, (_, i) => i * 7);

const commits: readonly Commit[] = [
  {
    type: "account",
    key: "acc-7",
    version: 3,
    state: pack({ cents: 1200, name: "Zoë" }),
    schema: 2,
    command: "withdraw",
    principal: "user:ann",
    events: [{ name: "withdrawn", value: pack({ cents: 500 }) }],
    op: {
      id: "user:ann|account/acc-7/withdraw|k1",
      fingerprint: new Uint8Array(16).fill(9),
      issuedAt: 1_700_000_000_123,
      settled: 41,
      reply: pack({ cents: 1200 }),
    },
  },
  {
    type: "account",
    key: "acc-8",
    version: 2 ** 40,
    state: undefined,
    schema: 1,
    command: "close",
    principal: "",
    events: [],
    op: undefined,
  },
  {
    type: "note",
    key: "ключ",
    version: 1,
    state: utf8(""),
    schema: 1,
    command: "write",
    principal: "key:ops",
    events: [],
    op: { id: "x", fingerprint: new Uint8Array(0), issuedAt: undefined, settled: undefined, reply: new Uint8Array(0) },
  },
];

export const samplePayloads: readonly Payload[] = [
  { kind: "claim", node: "node-a" },
  { kind: "noop" },
  { kind: "batch", commits },
  { kind: "park", id: "account/acc-7/explode", reason: "crashed the process 5 times", parked: true },
];

/** A batch whose writers had seen something of other shards. */
export const sampleCauses: Payload = { kind: "batch", commits, causes: [3, 2, 41, 900, 1, 2 ** 33 + 1] };

const message = {
  type: "account",
  key: "acc-9",
  command: "deposit",
  input: pack({ cents: 500 }),
  by: ["user:ann", "teller"],
};
const timer = { name: "hold", command: "expire", input: new Uint8Array(0), by: ["user:ann"] };

/** A batch with everything that work left to be done may say. */
export const sampleWork: Payload = {
  kind: "batch",
  commits: [
    {
      ...commits[1]!,
      work: {
        messages: [{ to: 4, ...message }],
        timers: [{ ...timer, due: 1_700_000_009_000 }, timer],
        done: "m3.4294967297",
      },
    },
    { ...commits[0]!, work: { messages: [], timers: [] } },
  ],
  notes: [
    { kind: "accepted", from: 9, after: 0, first: 2 ** 32 + 1, messages: [message, { ...message, by: [] }] },
    { kind: "acknowledged", to: 4, through: 2 ** 33 + 2 },
    { kind: "done", task: "taccount/acc-7#hold" },
    { kind: "failed", task: "m3.4294967298", due: 1_700_000_001_000, attempts: 1, cause: "HANDLER_FAILED: boom" },
    { kind: "failed", task: "m3.4294967299", attempts: 5, cause: "DECLARED: no" },
  ],
};

const event = { schema: 2, value: pack({ cents: 500 }) };

/** A batch with everything that topics may say. */
export const sampleTopics: Payload = {
  kind: "batch",
  commits: [],
  notes: [
    { kind: "published", topic: "orders", key: "o-1", events: [event, { ...event, schema: 1 }], op: commits[0]!.op! },
    { kind: "published", topic: "account.withdrawn", key: "", events: [event] },
    { kind: "moved", group: "ship", topic: "orders", through: 2 ** 33 + 7, messages: [{ to: 4, ...message }] },
    { kind: "group", group: "ship", topic: "orders", state: "paused" },
    { kind: "group", group: "mail", topic: "orders", state: "gone" },
    { kind: "trimmed", topic: "orders", below: 2 ** 33 + 2, bytes: 70_000 },
  ],
};

/** A batch with everything that jobs of queues need beside. */
export const sampleJobs: Payload = {
  kind: "batch",
  commits: [],
  notes: [
    { kind: "added", messages: [message, { ...message, by: [] }] },
    { kind: "done", task: "jqueue mails/ann/7", attempts: 2 ** 33 + 1, result: pack({ sent: true }) },
    { kind: "done", task: "jqueue mails/ann/8", attempts: 1, result: new Uint8Array(0) },
  ],
};

/** A batch with everything that operators do to queues. */
export const sampleQueues: Payload = {
  kind: "batch",
  commits: [],
  notes: [
    { kind: "queue", type: "queue mails", paused: true },
    { kind: "queue", type: "queue mails", paused: false },
    { kind: "purged", tasks: ["jqueue mails/ann/7", "jqueue mails/ann/8"] },
  ],
};

/** A batch with leases of nodes, and dead letters that are tried again by themselves. */
export const sampleLeases: Payload = {
  kind: "batch",
  commits: [],
  notes: [
    {
      kind: "failed",
      task: "jqueue mails/ann/7",
      due: 1_700_000_001_000,
      attempts: 1,
      cause: "",
      holder: "n-0a1b2c3d4e5f",
    },
    { kind: "again", tasks: ["jqueue mails/ann/7", "m3.4294967299"], at: 1_700_000_002_000, everyMs: 20.5 },
    { kind: "again", tasks: ["jqueue mails/ann/8"], everyMs: 0 },
  ],
};

/** A batch with everything that consumers of groups need beside. */
export const sampleGroups: Payload = {
  kind: "batch",
  commits: [],
  notes: [
    { kind: "held", group: "ship", topic: "orders", holder: "user:ann/5f3a" },
    { kind: "held", group: "ship", topic: "orders", holder: "" },
  ],
};

/** A record at (shard 17, sequence 2^33 + 5) with every field away from zero. */
export const sampleRecord = (payload: Payload): JournalRecord => ({
  header: {
    cluster: sampleCluster,
    shard: 17,
    generation: 2,
    epoch: 2 ** 32 + 9,
    seq: 2 ** 33 + 5,
    prev: Uint8Array.from({ length: 32 }, (_, i) => 255 - i),
    at: 1_700_000_000_456,
  },
  payload,
});

/** A batch of small commits, as a busy shard writes them. */
export const sampleBatch = (size: number): Payload => ({
  kind: "batch",
  commits: Array.from({ length: size }, (_, i) => ({
    type: "account",
    key: `acc-${1000 + i}`,
    version: 17 + i,
    state: pack({ cents: 12_300 + i, owner: "ann" }),
    schema: 1,
    command: "deposit",
    principal: "user:ann",
    events: [],
    op: {
      id: `01890a5d-ac96-774b-bcce-b302099a8${100 + i}`,
      fingerprint: new Uint8Array(0),
      issuedAt: 1_700_000_000_000 + i,
      settled: 12 + i,
      reply: pack({ cents: 12_300 + i }),
    },
  })),
});
