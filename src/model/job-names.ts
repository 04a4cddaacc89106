// What queues and jobs are called by.

import { SheafError } from "../base/index.ts";
import type { QueueShape } from "./shape.ts";
import { type Check, checker } from "./validate.ts";

/** What jobs of a queue, and calls that concern them, are addressed to, as if it were an entity; and what its worker is called as, as if
 *  it were a service. No name that a user gives has a space. */
export const queueType = (name: string): string => `queue ${name}`;
/** The queue that is addressed so; undefined for anything else. */
export const queueNamed = (type: string): string | undefined => (type.startsWith("queue ") ? type.slice(6) : undefined);
/** What a worker is called by, as if it were a procedure. */
export const workName = "work";

/** A job that waits in line with others of its key is called by that and its own name, with a slash between; any other by its name. */
export const jobIdOf = (key: string | undefined, own: string): string => (key === undefined ? own : `${key}/${own}`);

/** What jobs of that id are in line by, and where they are. */
export function lineOfJob(id: string): string {
  const slash = id.lastIndexOf("/");
  return slash < 0 ? id : id.slice(0, slash);
}

/** Throws BAD_INPUT for what is no job's own name. */
export function checkJobName(own: unknown): asserts own is string {
  if (typeof own === "string" && own.length <= 256 && /^[\x21-\x7e]+$/.test(own) && !own.includes("/")) return;
  throw new SheafError("BAD_INPUT", "a job's id is 1 to 256 visible ASCII characters, and no slash");
}

/** What checks a queue's inputs. */
export const jobInput = ({ name, input }: QueueShape): Check =>
  checker(input, `the input of a job in queue ${name}`, "BAD_INPUT");

/** The key that an input gives its job; undefined where the queue has none. Throws BAD_INPUT for one that is no text, and says what is
 *  wrong with the input where that is why. */
export function keyOfJob(contract: QueueShape, input: unknown): string | undefined {
  const { name, key } = contract;
  if (key === undefined) return undefined;
  let found: unknown;
  try {
    found = key(input as never);
  } catch (cause) {
    jobInput(contract)(input);
    throw new SheafError("BAD_INPUT", `the input of queue ${name} gives no key: ${String(cause)}`, { cause });
  }
  if (typeof found === "string" && found !== "" && found.isWellFormed()) return found;
  jobInput(contract)(input);
  throw new SheafError("BAD_INPUT", `the key of a job in queue ${name} is a non-empty string`);
}
