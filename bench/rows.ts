// All rows, in the order of the targets.

import type { Row } from "./row.ts";
import { calls, gatewayCalls } from "./rows/calls.ts";
import { failover, handOver, lag, reads } from "./rows/cluster.ts";
import { embeddedCommands, hotKey, natsCommands, postgresCommands } from "./rows/commands.ts";
import { overload, overloadMessages } from "./rows/overload.ts";
import { memory, restart, start } from "./rows/process.ts";
import { idle, scale } from "./rows/scale.ts";
import { jobs } from "./rows/queues.ts";
import { publish } from "./rows/topics.ts";
import { traffic } from "./rows/traffic.ts";

const remoteCalls = [calls, gatewayCalls];
const commands = [embeddedCommands, postgresCommands, natsCommands, hotKey];
const cluster = [reads, failover, handOver, lag];
export const rows: readonly Row[] = [
  ...remoteCalls,
  ...commands,
  jobs,
  publish,
  ...cluster,
  restart,
  memory,
  scale,
  idle,
  overload,
  overloadMessages,
  traffic,
  start,
];
