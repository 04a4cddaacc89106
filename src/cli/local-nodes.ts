// The nodes that one command runs on this machine, each in a process of its own.

import { readAdminToken } from "./node-file.ts";
import type { Status } from "../admin/index.ts";
import { remote } from "./remote.ts";
import type { ServerOptions } from "./server-options.ts";
import { type News, type Ready, superviseServer, type Supervised } from "./supervisor.ts";

export interface LocalNode extends Supervised {
  /** What people call it here: its name, as far as it has been given one. */
  readonly label: string;
}

export interface LocalNodes {
  readonly all: readonly LocalNode[];
  /** Resolves when all of them serve, in their order. When one cannot, the others are stopped and it rejects. */
  readonly ready: Promise<readonly Ready[]>;
  /** Of the cluster; undefined when none of them answers. */
  status(): Promise<Status | undefined>;
  /** Of those that serve now the one that owns the most shards; of equals the one that has served longest. */
  busiest(): Promise<LocalNode | undefined>;
  reload(): void;
  /** One after another, each once the one before serves again. */
  restart(): Promise<void>;
  /** One after another, so that each has somebody to hand its shards to. */
  stop(stopped?: (name: string) => void): Promise<void>;
  onFolders(tell: (folders: readonly string[]) => void): void;
}

/** `revive`: those that end by themselves are started again. */
export function runLocalNodes(
  options: readonly ServerOptions[],
  revive: boolean,
  tell: (label: string, news: News) => void,
): LocalNodes {
  /** Those that serve, in the order in which they began to. */
  const serving = new Set<LocalNode>();
  const all = options.map((each, at) => {
    const label = each.meeting?.name ?? `node-${at + 1}`;
    const supervised = superviseServer(each, revive, (news) => {
      if (news.kind === "ready") serving.add(node);
      if (news.kind === "ended") serving.delete(node);
      tell(label, news);
    });
    const node: LocalNode = Object.assign(supervised, { label });
    return node;
  });
  const stop: LocalNodes["stop"] = async (stopped = () => {}) => {
    for (const node of all.toReversed()) {
      const name = node.running?.name ?? node.label;
      await node.stop();
      stopped(name);
    }
  };
  const ready = Promise.all(all.map((node) => node.ready)).catch(async (error: unknown) => {
    await Promise.all(all.map((node) => node.stop()));
    throw error;
  });
  const running = (): Ready[] => all.flatMap((node) => node.running ?? []);
  return {
    all,
    ready,
    async status() {
      return statusOf(running());
    },
    async busiest() {
      const nodes = (await statusOf(running()))?.nodes ?? [];
      const owned = new Map(nodes.map(({ id, owns }) => [id, owns]));
      const candidates = [...serving].filter((node) => node.running !== undefined);
      const count = (node: LocalNode): number => owned.get(node.running?.node ?? "") ?? 0;
      return candidates.toSorted((a, b) => count(b) - count(a))[0];
    },
    reload() {
      for (const node of all) node.reload();
    },
    async restart() {
      for (const node of all) await node.restart();
    },
    stop,
    onFolders(tell) {
      const [first] = all;
      first?.onFolders(tell);
    },
  };
}

const patienceMs = 1_000;

/** As the first of the nodes that answers says. */
async function statusOf(nodes: readonly Ready[]): Promise<Status | undefined> {
  for (const { admin, home } of nodes) {
    try {
      return (await remote([admin], readAdminToken(home)).ask("/admin/v1/status", { patienceMs })).body as Status;
    } catch {
      // The next one may know.
    }
  }
  return undefined;
}
