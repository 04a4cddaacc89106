// What TypeScript infers, and refuses, of queues and their workers; and what definitions are refused when they are loaded.

import assert from "node:assert/strict";
import { test } from "node:test";
import { z } from "zod";
import { app, type Client, entity, queue, type JobState, type LeasedJob } from "./index.ts";

type Equal<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const is = <T>() => ({
  of: <V>(_value: V, ..._same: Equal<V, T> extends true ? [] : ["not this type"]): void => undefined,
});
/** Holds code that is type-checked and never run. */
const compiled = (_code: () => unknown): void => undefined;
declare const client: Client;

const Mail = z.object({ to: z.string(), text: z.string(), copies: z.number().default(1) });
const Receipt = z.object({ sent: z.string(), at: z.number().default(0) });
const Mails = queue("mails", { input: Mail, output: Receipt, key: ({ to }) => to });
const Labels = queue("labels", { input: z.object({ order: z.number() }) });
const Shop = entity("shop", { state: z.object({ n: z.number() }), commands: { order: {} } });

test("a queue: those who add hand in what its schema takes, and the key is made of that", () => {
  compiled(() => {
    is<Promise<string>>().of(client.queue(Mails).add({ to: "ann", text: "hello" }));
    void client.queue(Mails).add({ to: "ann", text: "hello" }, { id: "m1", delayMs: 5, priority: 1, deadlineMs: 100 });
    // @ts-expect-error not an input of this queue
    void client.queue(Mails).add({ to: "ann" });
    // @ts-expect-error no such option
    void client.queue(Mails).add({ to: "ann", text: "hello" }, { later: 5 });
    queue("keyed", {
      input: Mail,
      key: (input) => {
        // As it is handed in: before defaults are filled in.
        is<number | undefined>().of(input.copies);
        return input.to;
      },
    });
    // @ts-expect-error the key is text
    queue("odd", { input: Mail, key: ({ copies }) => copies });
    // @ts-expect-error an option that does not exist
    queue("odd", { input: Mail, partitions: 5 });
  });
  is<"mails">().of(Mails.name);
  assert.equal(Mails.key?.({ to: "ann", text: "" } as never), "ann");
});

test("a job: its result, and what consumers take and hand back, are as its schemas say", () => {
  type Told = { sent: string; at: number };
  compiled(async () => {
    is<JobState<Told>>().of(await client.queue(Mails).result("ann/1", { waitMs: 10 }));
    const state = await client.queue(Mails).result("ann/1");
    if (state.state === "done") is<Told>().of(state.output);
    // @ts-expect-error what is not done has no output
    void state.output;
    is<JobState<undefined>>().of(await client.queue(Labels).result("1"));
    const taken = await client.queue(Labels).take({ max: 5 });
    is<readonly LeasedJob<{ order: number }>[]>().of(taken);
    is<{ order: number }>().of(taken[0]!.input);
    void client.queue(Labels).ack(taken[0]!);
    // @ts-expect-error this queue has no output
    void client.queue(Labels).ack(taken[0]!, { sent: "x" });
    const [mail] = await client.queue(Mails).take();
    void client.queue(Mails).ack(mail!, { sent: "x" });
    // @ts-expect-error this queue has an output
    void client.queue(Mails).ack(mail!);
    // @ts-expect-error not the output of this queue
    void client.queue(Mails).ack(mail!, { sent: 5 });
    void client.queue(Mails).reject(mail!, "no", { final: true });
    // @ts-expect-error a cause is text
    void client.queue(Mails).reject(mail!, 5);
  });
});

test("a worker: it is given what the schema gives, and returns what the output takes", () => {
  compiled(() => {
    Mails.work(({ input, job, attempt, signal, call, progress }) => {
      is<{ to: string; text: string; copies: number }>().of(input);
      is<string>().of(job);
      is<number>().of(attempt);
      is<AbortSignal>().of(signal);
      is<Promise<string>>().of(call.queue(Labels).add({ order: 1 }));
      void progress({ half: true });
      return { sent: input.text };
    });
    Mails.work(async ({ input }) => ({ sent: input.to, at: 5 }), { concurrency: 2 });
    // @ts-expect-error not the output
    Mails.work(() => ({ sent: 5 }));
    // @ts-expect-error an output is to be returned
    Mails.work(() => {});
    Labels.work(async () => {});
    // @ts-expect-error an option that does not exist
    Labels.work(() => {}, { hands: 5 });
  });
});

test("send.queue: commands leave what the queue takes, and get nothing for it", () => {
  compiled(() => {
    Shop.implement({
      initial: () => ({ n: 0 }),
      order({ send }) {
        is<void>().of(send.queue(Mails).add({ to: "ann", text: "on its way" }, { id: "o1", delayMs: 100 }));
        // @ts-expect-error not an input of this queue
        send.queue(Mails).add({ to: 5, text: "" });
        // @ts-expect-error a call has a deadline, and what is left for later has none
        send.queue(Mails).add({ to: "ann", text: "" }, { deadlineMs: 100 });
        // @ts-expect-error results are for callers
        void send.queue(Mails).result("1");
      },
    });
  });
});

test("queues: one that cannot be is refused when it is loaded, with what is wrong", () => {
  const input = Mail;
  const refused: readonly (readonly [RegExp, () => unknown])[] = [
    [/begins with a letter/, () => queue("1", { input })],
    [/input must be a Standard Schema/, () => queue("a", {} as never)],
    [/output must be a Standard Schema/, () => queue("a", { input, output: 5 as never })],
    [/key is a function/, () => queue("a", { input, key: "to" as never })],
    [/attempts is a whole number above 0/, () => queue("a", { input, attempts: 0 })],
    [/visibilityMs is at most/, () => queue("a", { input, visibilityMs: 3_600_000 })],
    [/firstMs is a whole number above 0/, () => queue("a", { input, retry: { firstMs: -1 } })],
    [/retry has no option "twice"/, () => queue("a", { input, retry: { twice: 1 } as never })],
    [/no option "partitions"/, () => queue("a", { input, partitions: 5 } as never)],
    [/the worker is a function/, () => Labels.work(5 as never)],
    [/concurrency is a whole number above 0/, () => Labels.work(() => {}, { concurrency: 0.5 })],
    [/two of its .*named "labels"/, () => app("a", { queues: [Labels, Labels.work(() => {})] })],
  ];
  for (const [says, define] of refused) assert.throws(define, says, String(says));
  const whole = app("a", { queues: [Mails, Labels.work(() => {})] });
  assert.deepEqual(whole.contract.queues, [Mails, Labels]);
});
