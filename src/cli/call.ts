// `sheaf call` and `sheaf entity call`: one command, query or procedure through the gateway.

import { text as readAll } from "node:stream/consumers";
import process from "node:process";
import { SheafError } from "../base/index.ts";
import { nearest } from "./nearest.ts";
import { type Context, parseCount, parseSpan, type Run } from "./context.ts";
import { type Answer, type Ask, gatewayOf, type Remote, type RemoteOptions } from "./remote.ts";

type CallOptions = RemoteOptions & {
  readonly idempotencyKey?: string;
  readonly deadline?: string;
  readonly consistency?: string;
  readonly ifVersion?: string;
  readonly time?: boolean;
};

type Target =
  | { readonly kind: "entity"; readonly type: string; readonly key: string; readonly name: string }
  | { readonly kind: "service"; readonly service: string; readonly name: string };

export const call: Run<CallOptions> = async (context, [target = "", input], options) =>
  perform(context, parseTarget(target), input, options);

export const callEntity: Run<CallOptions> = async (context, [type = "", key = "", name = "", input], options) =>
  perform(context, { kind: "entity", type, key, name }, input, options);

/** `entity/key/name` or `service/procedure`. A key may hold slashes: the first and the last part are the names. */
export function parseTarget(text: string): Target {
  const parts = text.split("/");
  const first = parts[0] ?? "";
  const last = parts.at(-1) ?? "";
  if (parts.length === 2 && first !== "" && last !== "") return { kind: "service", service: first, name: last };
  const key = parts.slice(1, -1).join("/");
  if (parts.length > 2 && first !== "" && last !== "" && key !== "")
    return { kind: "entity", type: first, key, name: last };
  throw new SheafError("USAGE", `"${text}" is not a target`, {
    hint: "Write entity/key/command, such as account/acc-7/withdraw, or service/procedure.",
  });
}

function pathOf(target: Target): string {
  const parts =
    target.kind === "entity"
      ? ["entities", target.type, target.key, target.name]
      : ["services", target.service, target.name];
  return `/${parts.map(encodeURIComponent).join("/")}`;
}

async function perform(
  context: Context,
  target: Target,
  input: string | undefined,
  options: CallOptions,
): Promise<number> {
  const { output } = context;
  const body = await readInput(input);
  const headers: Record<string, string> = {};
  if (options.idempotencyKey !== undefined) headers["idempotency-key"] = options.idempotencyKey;
  if (options.consistency !== undefined) headers["sheaf-consistency"] = options.consistency;
  if (options.ifVersion !== undefined) {
    headers["if-match"] = `"v${parseCount(options.ifVersion, "--if-version", 0, Number.MAX_SAFE_INTEGER)}"`;
  }
  const deadlineMs = options.deadline === undefined ? undefined : parseSpan(options.deadline, "--deadline");
  if (deadlineMs !== undefined) headers["sheaf-deadline-ms"] = String(deadlineMs);
  const gateway = gatewayOf(context, options);
  const began = performance.now();
  // The gateway answers its own deadline; ours is only there in case it does not answer at all.
  const patienceMs = (deadlineMs ?? 10_000) + 5_000;
  const ask = { method: "POST", headers, patienceMs, ...(body === undefined ? {} : { body }) } as const;
  const answer = await asked(gateway, target, ask);
  if (options.time === true) output.note(`${(performance.now() - began).toFixed(1)} ms`);
  const replayed = answer.headers.get("idempotent-replayed") ?? answer.headers.get("idempotency-replayed");
  if (replayed === "true") output.note("this is the answer of the first call with that idempotency key");
  if (answer.status === 204 && !output.flags.json) return 0;
  output.one("sheaf.call/v1", answer.body ?? null, () => show(answer.body));
  return 0;
}

const show = (value: unknown): string =>
  typeof value === "object" ? JSON.stringify(value, null, 2) : JSON.stringify(value);

/** JSON from the argument, from stdin for `-`; undefined for none. */
export async function readInput(input: string | undefined): Promise<unknown> {
  if (input === undefined) return undefined;
  const text = input === "-" ? await readAll(process.stdin) : input;
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new SheafError("USAGE", `the input is not JSON: ${(error as Error).message}`, {
      hint: `Quote it for the shell: '{"cents":5}', or give - and pipe it in.`,
    });
  }
}

/** The answer; for an unknown target the failure, with the nearest ones that the application has. */
async function asked(gateway: Remote, target: Target, ask: Ask): Promise<Answer> {
  try {
    return await gateway.ask(pathOf(target), ask);
  } catch (error) {
    if (!(error instanceof SheafError) || error.code !== "UNKNOWN_TARGET" || error.hint !== undefined) throw error;
    throw await suggested(error, gateway, target);
  }
}

async function suggested(error: SheafError, gateway: Remote, target: Target): Promise<SheafError> {
  let names: string[];
  try {
    names = await targets(gateway);
  } catch {
    return error;
  }
  const asked = target.kind === "entity" ? `${target.type}/KEY/${target.name}` : `${target.service}/${target.name}`;
  const near = nearest(asked, names);
  const hint =
    near.length > 0
      ? `Nearest: ${near.join(", ")}`
      : names.length > 0
        ? `It has: ${names.slice(0, 12).join(", ")}`
        : undefined;
  return new SheafError(error.code, error.message, { hint, outcome: error.outcome, retry: error.retry });
}

/** All that can be called, as `entity/KEY/name` and `service/procedure`, from the gateway's OpenAPI document. */
export async function targets(gateway: Remote): Promise<string[]> {
  const { body } = await gateway.ask("/openapi.json", { patienceMs: 2_000 });
  const paths = Object.keys((body as { paths?: object }).paths ?? {});
  return paths.flatMap((path) => {
    const [root, first, ...rest] = path.split("/").slice(1);
    if (root === "entities" && rest.length === 2) return [`${first}/KEY/${rest[1]}`];
    return root === "services" && rest.length === 1 ? [`${first}/${rest[0]}`] : [];
  });
}
