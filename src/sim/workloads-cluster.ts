// What callers of several nodes do in the gate, and what must be true afterwards (PROMISES §4.4, W4 through services, W6, W7).

import { SheafError } from "../base/index.ts";
import { bindClient } from "../model/index.ts";
import { checkBank } from "./bank.ts";
import { Bag, Desk, joined, known, Note, type Noted, Purse, purseCents, Tally } from "./gate-app.ts";
import type { Session } from "./caller.ts";
import { checkSessions, type Sight } from "./sessions.ts";
import { calmly, named, openCalls, perClient, type Stage, type Workload } from "./stage.ts";
import { checkGlances } from "./staleness.ts";
import { wayOf } from "./network.ts";
import { registers } from "./registers.ts";
import type { World } from "./world.ts";

/** Money moves by a service, which calls purses wherever they are; whoever asks repeats under the same id. */
export const errands: Workload = {
  async run(stage) {
    const { random, keys } = stage;
    await perClient(stage, async (client, index, round) => {
      const from = random.pick(keys);
      const to = random.pick(keys.filter((key) => key !== from));
      const errand = { id: `${index}.${round}`, from, to, cents: 1 + random.below(60) };
      const attempt = (): Promise<boolean> => client.service(Desk).transfer(errand);
      await attempt().catch(attempt).catch(attempt);
    });
  },
  async check({ world, keys }) {
    const client = calmly(world);
    const accounts = [];
    for (const key of keys) accounts.push({ key, ...(await client.entity(Purse, key).look()) });
    return [...openCalls(world), ...checkBank(accounts, keys.length * purseCents)];
  },
};

const sight = (key: string, { count, causes }: Noted, wrote = false): Sight => ({ key, count, causes, wrote });

type Declined = { readonly own: Noted; readonly written: Noted; readonly read: Noted };

/** What a refusal shows. */
const declined = (call: Promise<unknown>): Promise<Declined> =>
  call.then(
    () => Promise.reject(new Error("a refusal was not one")),
    (error: unknown) => {
      if (error instanceof SheafError && error.code === "DECLARED") return error.data as Declined;
      throw error;
    },
  );

/** W6, W7: sessions that ask any node, also inside handlers, and at times go on with what another has seen. */
export const sessions: Workload = {
  async run(stage) {
    const { world, random, keys, steps, clients } = stage;
    const tokens = clients.map((): Session => ({ token: "" }));
    const faces = tokens.map((session, index) =>
      bindClient(world.invoke({ name: `s${index}`, deadlineMs: 400, session })),
    );
    /** As the application itself remembers it: what each has seen. */
    const minds = clients.map((): Record<string, number> => ({}));
    await perClient({ ...stage, rounds: 2 * stage.rounds }, async (_, index) => {
      const [client, session] = [faces[index]!, `s${index}`];
      const saw = (...sights: Sight[]): void => {
        steps.push({ kind: "saw", session, sights });
        for (const { key, count, causes } of sights)
          minds[index] = joined(minds[index]!, known(key, { count, causes }));
      };
      const [key, other] = [random.pick(keys), random.pick(keys)];
      const dice = random.float();
      if (dice < 0.1) {
        const from = random.below(clients.length);
        tokens[index]!.token = tokens[from]!.token;
        minds[index] = { ...minds[from] };
        steps.push({ kind: "took", session, from: `s${from}` });
      } else if (dice < 0.3) saw(sight(key, await client.entity(Note, key).post({ ...minds[index] }), true));
      else if (dice < 0.4 && key !== other) {
        const { saw: seen, noted } = await client.entity(Note, key).follow(other);
        saw(sight(other, seen), sight(key, noted, true));
      } else if (dice < 0.55 && key !== other) {
        const { first, written, again, other: last } = await client.service(Desk).copy({ from: key, to: other });
        saw(sight(key, first), sight(other, written, true), sight(other, again), sight(key, last));
      } else if (dice < 0.65 && key !== other) {
        const { own, written, read } = await declined(client.entity(Note, key).decline({ write: other, read: key }));
        // Asked again, it looks at itself anew, but has written before.
        saw(sight(other, written, true), sight(key, own), sight(key, read));
      } else if (dice < 0.85 && key !== other) {
        saw(sight(key, await client.entity(Note, key).post({ ...minds[index] }), true));
        saw(sight(other, await client.entity(Note, other).post({ ...minds[index] }), true));
        await witness(stage, other, key);
      } else {
        const noted = await client.entity(Note, key).look();
        saw(sight(key, noted));
        const cause = random.pick([...Object.keys(noted.causes), key]);
        saw(sight(cause, await client.entity(Note, cause).look()));
      }
    });
  },
  // Who sees an effect can see its causes wherever nodes know of each other.
  check: ({ world, steps }) => Promise.resolve([...openCalls(world), ...checkSessions(steps, world.options.cluster)]),
};

/** Somebody who has seen nothing yet looks at an effect, then at its cause. */
async function witness({ world, steps }: Stage, effect: string, cause: string): Promise<void> {
  const session = `w${steps.length}`;
  const client = bindClient(world.invoke({ name: session, deadlineMs: 400, session: { token: "" } }));
  for (const key of [effect, cause]) {
    const noted = await client.entity(Note, key).look();
    steps.push({ kind: "saw", session, sights: [sight(key, noted)] });
  }
}

/** Copies show a beginning of the journal, and say truly how old it may be. */
export const glances: Workload = {
  async run(stage) {
    const { random, keys } = stage;
    await perClient({ ...stage, rounds: 3 * stage.rounds }, async (client, index, round) => {
      const face = client.entity(Bag, random.pick(keys));
      await (random.chance(0.5) ? face.glance() : face.add(`${index}.${round}`));
    });
  },
  async check({ world, keys }) {
    const problems = openCalls(world);
    const client = calmly(world);
    // How old it is nobody can know whom the engine shows the past, nor who takes itself for the only node.
    const { faults, nodes, cluster } = world.options;
    const timed = !faults.includes("stale") && (cluster || nodes === 1);
    for (const key of keys) {
      const last = await client.entity(Bag, key).all();
      const calls = world.history.calls.filter(
        ({ target, outcome }) => target.kind !== "procedure" && target.key === key && outcome === "applied",
      );
      const added = calls
        .filter((call) => named(call, "bag", "add"))
        .map(({ input, endedAt = Infinity }) => ({ id: String(input), acknowledgedAt: endedAt }));
      const looks = calls
        .filter((call) => named(call, "bag", "glance"))
        .map(({ output, askedAt, staleMs }) => ({
          ids: output as string[],
          askedAt,
          staleMs: timed ? (staleMs ?? Infinity) : undefined,
        }));
      problems.push(...checkGlances(last, added, looks).map((says) => `bag ${key}: ${says}`));
    }
    return problems;
  },
};

/** Two nodes that cannot reach each other for long, though both reach the engine, do not take shards from each other in turns,
 *  and what callers do at either is linearizable. */
export const apart: Workload = {
  async run(stage) {
    const { world, random } = stage;
    const [one, other] = world.machines.map(({ name }) => name) as [string, string];
    const ways = random.chance(0.6) ? [wayOf(one, other), wayOf(other, one)] : [wayOf(one, other)];
    const load = registers.run(stage);
    await world.sleep(150 + random.float() * 50);
    const before = await epochs(world);
    for (const way of ways) world.weather.cutBetween.add(way);
    world.weather.tally.injected.split++;
    await world.sleep(250 + random.float() * 200);
    const after = await epochs(world);
    for (const way of ways) world.weather.cutBetween.delete(way);
    after.forEach((epoch, shard) => {
      const claims = epoch - (before[shard] ?? 0);
      if (claims > mostClaims)
        world.problems.push(`shard ${shard} was claimed ${claims} times while two nodes were apart`);
    });
    await load;
  },
  check: registers.check,
};

/** One to take over, and one that was on its way. */
const mostClaims = 2;

const epochs = async ({ shared, options }: World): Promise<number[]> =>
  (await shared.barrier(Array.from({ length: options.shards }, (_, shard) => shard))).map(({ epoch }) => epoch);

/** Nodes leave in order and come back, one after the other, while callers that repeat nothing go on elsewhere: no call
 *  fails, and each counts once. */
export const rolling: Workload = {
  async run(stage) {
    const { world, random, keys, clients } = stage;
    let over = false;
    // Where the engine is slow, more is on its way when a node goes.
    world.weather.slowness = random.pick([1, 2, 5]);
    const load = clients.map(async (_, index) => {
      const client = bindClient(world.invoke({ name: `r${index}`, deadlineMs: 2_000, repeats: false }));
      while (!over) {
        const face = client.entity(Tally, random.pick(keys));
        await (random.chance(0.2) ? face.addSlowly() : random.chance(0.2) ? face.read() : face.add()).catch(
          () => undefined,
        );
        await world.sleep(random.float() * 8);
      }
    });
    for (const machine of world.machines) {
      // Callers hear that it is going before it goes, as a load balancer learns from its readiness.
      world.weather.leaving.add(machine.name);
      await world.sleep(20);
      await machine.stop();
      await machine.start();
      world.weather.leaving.delete(machine.name);
      world.weather.tally.injected.restart++;
      await world.sleep(random.float() * 100);
    }
    over = true;
    await Promise.all(load);
  },
  async check({ world, keys }: Stage) {
    const problems = openCalls(world);
    const client = calmly(world);
    for (const { client: who, error, target } of world.history.calls)
      if (error !== undefined)
        problems.push(`${who}'s ${target.name} failed with ${error} though nodes only left in order`);
    for (const key of keys) {
      const adds = world.history.calls.filter(
        (call) =>
          named(call, "tally", "add", "addSlowly") && call.target.kind !== "procedure" && call.target.key === key,
      );
      const counted = await client.entity(Tally, key).read();
      if (counted !== adds.length) problems.push(`tally ${key}: ${adds.length} additions counted to ${counted}`);
    }
    return problems;
  },
};
