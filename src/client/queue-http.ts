// Calls that concern queues, as requests to the addresses that the gateway has for them.

import { queueNamed } from "../model/index.ts";
import type { Call } from "../rpc/index.ts";

export type QueueRequest = {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Undefined for none. */
  readonly body: unknown;
  /** The id that the job's adder chose. */
  readonly id: string | undefined;
};

/** Undefined for every other call. */
export function queueRequest({ target, input }: Call): QueueRequest | undefined {
  const queue = target.kind === "procedure" ? undefined : queueNamed(target.entity);
  if (queue === undefined) return undefined;
  const { id, attempt, waitMs, max, delayMs, priority, ...rest } = (input ?? {}) as Readonly<Record<string, unknown>>;
  const base = `/queues/${encodeURIComponent(queue)}`;
  const job = `${base}/jobs/${encodeURIComponent((id as string | undefined) ?? "")}`;
  const post = { method: "POST", body: undefined, id: undefined } as const;
  switch (target.name) {
    case "add":
      return {
        ...post,
        path: base + asked({ delayMs, priority }),
        body: rest["input"],
        id: id as string | undefined,
      };
    case "take":
      return { ...post, path: `${base}/take${asked({ max, waitMs })}` };
    case "result":
      return { ...post, method: "GET", path: job + asked({ waitMs }) };
    case "ack":
      return { ...post, path: `${job}/ack${asked({ attempt })}`, body: rest["output"] };
    case "progress":
      return { ...post, path: `${job}/progress${asked({ attempt })}`, body: rest["value"] };
    default: {
      const body = delayMs === undefined ? rest : { ...rest, delayMs };
      return { ...post, path: `${job}/${encodeURIComponent(target.name)}${asked({ attempt })}`, body };
    }
  }
}

function asked(parameters: Readonly<Record<string, unknown>>): string {
  const given = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}=${value as number}`],
  );
  return given.length === 0 ? "" : `?${given.join("&")}`;
}

/** What the call gives, of what the gateway answered. */
export function queueOutput({ target }: Call, answer: unknown): unknown {
  if (target.kind === "procedure" || queueNamed(target.entity) === undefined) return answer;
  if (target.name === "add") return (answer as { readonly id: string }).id;
  return target.name === "take" ? (answer as { readonly jobs: unknown }).jobs : answer;
}
