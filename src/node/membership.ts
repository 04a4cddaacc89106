// One node's part in its cluster: it says who it is, learns who else is there, and carries out what placement says of its
// shards. Who owns a shard is decided by the journal alone; what happens here only decides how soon.
//
// B1. Nothing here is needed for safety: with wrong views, nodes may claim in turns, and the journal lets one write.
// B2. A shard is handed over only when all that was accepted here is durable; whoever waited is sent on, not failed.

import { asSheafError, type Millis, type Shard as ShardNumber, SheafError, type Tick } from "../base/index.ts";
import {
  type Holding,
  type Member,
  type Members,
  type Pins,
  pinsKey,
  type Placement,
  placementOf,
  plan,
  rankingIn,
  type ShardSight,
  type Step,
  type Timing,
  timingFor,
  trackMembers,
  type View,
} from "../cluster/index.ts";
import { system } from "../security/index.ts";
import type { Timer } from "../host/index.ts";
import type { Call, Reply } from "../rpc/index.ts";
import { type Shard, within } from "../shards/index.ts";
import type { Meeting } from "./node.ts";
import type { Parts } from "./parts.ts";
import { Peers } from "./peers.ts";
import { byEar } from "./by-ear.ts";
import { closestOf, distanceOf } from "./closeness.ts";
import { Listening, type Tell } from "./listening.ts";
import { type MoveCounters, moveCounters } from "./move-counters.ts";
import { NamesakeWatch, refuseNamesakes } from "./namesake.ts";
import { Owners } from "./owners.ts";
import { PinBoard } from "./pin-board.ts";
import { Roll } from "./roll.ts";

/** What nodes ask each other, as procedures that nobody else can reach. */
const peerService = "sheaf.peer";

const askMs: Millis = 5_000;
const goodbyeMs: Millis = 500;
const defaultCopies = 3;
/** The registry is read and written every so many beats. */
const registryBeats = 2;

/** A node with its place among others; one that is alone has none. */
export type Placed = Parts & { membership?: Membership | undefined };

type Carry = (call: Call) => Promise<Reply>;

/** What is known of a shard's owner, and since when. */
type Known = {
  readonly owner: string | undefined;
  readonly held: boolean;
  readonly since: Tick;
  /** It was handed over, and the other has certainly not claimed it. */
  refused?: boolean;
};
type Failure = { readonly until: Tick; readonly pause: Millis };

export class Membership {
  readonly peers: Peers;
  readonly board: PinBoard;
  readonly owners: Owners;
  /** What other nodes may ask of the operator's side of this one. */
  serve: (name: string, input: unknown) => Promise<unknown> = () => Promise.reject(new SheafError("UNKNOWN_TARGET"));
  readonly #parts: Parts;
  readonly #members: Members;
  readonly #timing: Timing;
  readonly #copies: number;
  readonly #counters: MoveCounters;
  readonly #meeting: Meeting;
  readonly #namesakes: NamesakeWatch;
  readonly #listening: Listening;
  #self: Member;
  readonly #roll: Roll;
  #ticks = 0;
  #tickedAt: Tick = Infinity;
  #accused = "";
  #timer: Timer | undefined;
  #exchanging: Promise<void> | undefined;
  #exchangeAgain = false;
  #thinking = false;
  #closed = false;
  #gaveWay = false;
  /** The view that jobs of nodes that are gone were looked for by. */
  #lookedAt = -1;
  #placed: { readonly view: View; readonly placement: Placement } | undefined;
  readonly #known = new Map<ShardNumber, Known>();
  readonly #moving = new Map<ShardNumber, string>();
  readonly #opening = new Set<ShardNumber>();
  readonly #failures = new Map<ShardNumber, Failure>();

  /** `here` carries a call out on this node, `route` wherever that may be. */
  constructor(parts: Parts, meeting: Meeting, self: Member, here: Carry, route: Carry) {
    this.#parts = parts;
    this.#self = self;
    this.#copies = meeting.copies ?? defaultCopies;
    const { host } = parts.options;
    this.#timing = timingFor(parts.limits.beatMs);
    this.#counters = moveCounters(host.meter);
    this.#meeting = meeting;
    this.#namesakes = new NamesakeWatch(this.#timing);
    // An answer that is lost is not waited for: whoever takes longer is taken to be cut off from the engine anyway.
    this.#roll = new Roll(parts.options.engine.registry, self.id, (answer) =>
      within(host.clock, this.#timing.strandedMs, answer),
    );
    this.#members = trackMembers(self, host.clock.tick(), this.#timing);
    this.board = new PinBoard({
      host,
      registry: parts.options.engine.registry,
      call: route,
      closed: () => this.#closed,
      changed: () => {
        this.#placed = undefined;
        this.#think();
      },
    });
    this.owners = new Owners(parts, (node) => this.#isThere(node));
    const carried = this.owners.naming(here);
    this.peers = new Peers({
      host,
      limits: parts.limits,
      dial: meeting.dial,
      cluster: parts.cluster.id,
      self: self.id,
      beatMs: parts.limits.beatMs,
      calls: { call: (call) => (isOurs(call) ? this.#asked(call) : carried(call)) },
      changed: (node, state) => {
        if (state === "refused") this.#members.refused(node, this.#now());
        this.#think();
      },
      heard: (node) => this.#members.heard(node, this.#now()),
    });
    const tell: Tell = (node, of, ms) => this.ask(node, "look", of, ms);
    this.#listening = new Listening(self.id, this.#timing, this.#members, this.peers, tell);
  }

  get self(): Member {
    return this.#self;
  }

  get view(): View {
    const view = this.#members.view();
    return this.#parts.options.host.faults.mutant("C4") ? byEar(view, this.#self.id, this.peers) : view;
  }

  /** Resolves when this node has said that it is there, and holds what it should. */
  async start(): Promise<void> {
    const { host, engine } = this.#parts.options;
    const { clock } = host;
    const { peers } = this;
    await refuseNamesakes({ clock, registry: engine.registry, peers, self: this.#self, timing: this.#timing });
    await this.#exchange();
    this.#tick();
    while (!this.settled) {
      if (this.#closed) throw new SheafError("STOPPING");
      await new Promise<void>((resolve) => void clock.after(this.#timing.beatMs / 10, resolve));
    }
  }

  /** Is every shard that this node should have a copy of open, and owned by somebody who is there? */
  get settled(): boolean {
    const placement = this.#placement();
    return this.#parts.shards.all.every(({ number, tenure, fold }) => {
      if (!placement[number]?.includes(this.#self.id)) return true;
      if (tenure.kind === "serving" || tenure.kind === "quarantined") return true;
      return tenure.kind === "following" && fold.owner !== undefined && this.#isThere(fold.owner);
    });
  }

  /** The node that owns a shard, as far as is known here, when it is there. */
  ownerOf({ held, fold: { owner } }: Shard): string | undefined {
    if (held !== undefined) return this.#self.id;
    return owner !== undefined && owner !== this.#self.id && this.#isThere(owner) ? owner : undefined;
  }

  #isThere(id: string): boolean {
    return (this.view.byId.get(id)?.standing ?? "dead") !== "dead";
  }

  /** How many other copies should write a snapshot of the shard before this node does: its owner does last. */
  snapshotTurn(shard: Shard): number {
    const owner = this.ownerOf(shard);
    const followers = (this.#placement()[shard.number] ?? []).filter((id) => id !== owner);
    const place = followers.indexOf(this.#self.id);
    return place < 0 ? followers.length : place;
  }

  /** Nodes that may own the shard, the best first. */
  ranking(shard: ShardNumber): readonly string[] {
    return rankingIn(this.view, shard, this.#parts.cluster.apart);
  }

  /** Says what has become of this node, and acts on it. */
  async become(change: Partial<Pick<Member, "state" | "cordoned" | "services" | "entities" | "hosts">>): Promise<void> {
    this.#self = { ...this.#self, ...change };
    this.#members.self(this.#self, this.#now());
    this.#think();
    await this.#exchange();
  }

  /** Hands over everything to others, as far as there are any, until `until`. */
  async drain(until: Tick): Promise<void> {
    const { clock } = this.#parts.options.host;
    const others = (): boolean =>
      this.view.members.some(
        ({ member, standing }) => standing === "alive" && member.id !== this.#self.id && member.state === "ready",
      );
    const holds = (): boolean =>
      this.#moving.size > 0 || this.#parts.shards.all.some((shard) => shard.held !== undefined);
    void this.become({ state: "draining" });
    while (others() && holds() && clock.tick() < until)
      await new Promise<void>((resolve) => void clock.after(this.#timing.beatMs / 30, resolve));
  }

  /** Takes leave of the others. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const { engine, host } = this.#parts.options;
    const left = engine.registry.delete(this.#self.id).catch(() => {});
    await Promise.race([left, new Promise<void>((resolve) => void host.clock.after(goodbyeMs, resolve))]);
    await this.peers.close(goodbyeMs);
  }

  #now(): Tick {
    return this.#parts.options.host.clock.tick();
  }

  #tick(): void {
    if (this.#closed) return;
    const now = this.#now();
    // Whoever slept, or is not counted on by the others, finds out what it still owns.
    if (now - this.#tickedAt > 3 * this.#timing.beatMs || this.view.excluded) this.#prove();
    this.#tickedAt = now;
    this.#listening.beat(now);
    this.#members.tick(now);
    this.#listening.tellNews(now);
    const accuses = this.#members.accuses(now).join();
    if (this.#ticks++ % registryBeats === 0 || accuses !== this.#accused) void this.#exchange();
    this.#think();
    this.#timer = this.#parts.options.host.clock.after(this.#timing.beatMs, () => this.#tick());
  }

  #prove(): void {
    for (const shard of this.#parts.shards.all) if (shard.held !== undefined) shard.settled(() => {});
  }

  /** Says in the registry that this node is there, and reads who else is. One exchange at a time. */
  #exchange(): Promise<void> {
    if (this.#exchanging) {
      this.#exchangeAgain = true;
      return this.#exchanging;
    }
    this.#exchanging = this.#exchangeNow().finally(() => {
      this.#exchanging = undefined;
      if (!this.#exchangeAgain || this.#closed) return;
      this.#exchangeAgain = false;
      void this.#exchange();
    });
    return this.#exchanging;
  }

  async #exchangeNow(): Promise<void> {
    const { engine, host, process } = this.#parts.options;
    // Where callers reach this node is known once its listeners are open.
    this.#self = { ...this.#self, ...process?.addresses() };
    this.#members.self(this.#self, this.#now());
    try {
      const accuses = this.#members.accuses(this.#now());
      this.#accused = accuses.join();
      await this.#roll.tell(this.#self, accuses);
      const { records, looked, read } = await this.#roll.look([...this.#listening.lookFor(this.#now()), pinsKey]);
      if (this.#closed) return;
      this.board.listed(read);
      const later = this.#namesakes.listed(records, this.#self, this.#now());
      if (later) this.#giveWay(later);
      this.#members.listed(records, this.#now(), looked);
      const accused = [...records.values()].flatMap((record) => record.accuses);
      this.#listening.lookAt(accused, this.#now());
      for (const id of this.#members.gone(this.#now()))
        await within(host.clock, this.#timing.strandedMs, engine.registry.delete(id));
    } catch (error) {
      host.log.debug("the registry cannot be reached", { reason: asSheafError(error).message });
    }
    if (this.#closed) return;
    this.#listening.meet(this.view);
    this.#think();
  }

  /** Another run under this node's name stays: this one hands over what it has, and whoever runs it is told, once. */
  #giveWay(error: SheafError): void {
    if (this.#gaveWay) return;
    this.#gaveWay = true;
    this.#parts.options.host.log.error("another process runs under this node's name: this one gives way", {
      reason: error.message,
    });
    void this.become({ state: "draining" });
    this.#meeting.replaced?.(error);
  }

  /** Compares what is with what should be, once all news of this turn is in. */
  #think(): void {
    if (this.#thinking || this.#closed) return;
    this.#thinking = true;
    this.#parts.options.host.clock.turn(() => {
      this.#thinking = false;
      if (!this.#closed) this.#act();
    });
  }

  #placement(): Placement {
    const { view } = this;
    if (this.#placed?.view !== view) this.#placed = { view, placement: this.placement(this.board.pins) };
    return this.#placed.placement;
  }

  /** Where shards belong as this node sees it, with these pins or with none. */
  placement(pins: Pins | undefined): Placement {
    const { shards, apart } = this.#parts.cluster;
    return placementOf(this.view, shards, this.#copies, pins, apart);
  }

  /** Whether this node is to have a copy of the shard. */
  isCopy(shard: ShardNumber): boolean {
    return this.#placement()[shard]?.includes(this.#self.id) === true;
  }

  /** To whom a hand-over from here is under way. */
  moving(shard: ShardNumber): string | undefined {
    return this.#moving.get(shard);
  }

  #act(): void {
    const now = this.#now();
    if (this.#lookedAt !== this.view.version) this.#parts.work.look();
    this.#lookedAt = this.view.version;
    const sights = this.#parts.shards.all.map((shard) => this.#sight(shard, now));
    const steps = plan({
      me: this.#self.id,
      view: this.view,
      placement: this.#placement(),
      shards: sights,
      now,
      timing: this.#timing,
    });
    steps.forEach((step, i) => this.#do(this.#parts.shards.all[i] as Shard, step, now));
  }

  #sight({ number, held, fold: { owner }, tenure: { kind } }: Shard, now: Tick): ShardSight {
    let known = this.#known.get(number);
    if (!known || known.owner !== owner || known.held !== (held !== undefined)) {
      known = { owner, held: held !== undefined, since: now };
      this.#known.set(number, known);
    }
    const mine: Holding = kind === "releasing" ? "serving" : kind;
    return {
      shard: number,
      mine,
      owner,
      since: known.since,
      moving: this.#moving.get(number),
      refused: known.refused,
      pinned: this.board.pins.nodes.has(number),
    };
  }

  #do(shard: Shard, step: Step, now: Tick): void {
    const { kind } = shard.tenure;
    if (kind === "opening" || kind === "quarantined" || this.#moving.has(shard.number)) return;
    switch (step.do) {
      case "keep":
        return;
      case "follow":
        if (kind === "serving") shard.stepDown(shard.fold.epoch);
        if (kind !== "following") this.#open(shard.number, "follower", now);
        return;
      case "claim":
        if (kind === "serving") return;
        // Only the journal says who the owner is: read it first.
        if (kind !== "following") this.#open(shard.number, "follower", now);
        else if (step.afterMs <= 0) this.#open(shard.number, "owner", now);
        else this.#parts.options.host.clock.after(step.afterMs, () => this.#think());
        return;
      case "hand-over":
        if (kind === "serving" && !this.#pauses(shard.number, now)) void this.#handOver(shard, step.to);
        return;
      case "rest":
        if (kind !== "closed") this.#parts.shards.rest(shard.number);
        return;
    }
  }

  #pauses(number: ShardNumber, now: Tick): boolean {
    return (this.#failures.get(number)?.until ?? 0) > now;
  }

  #open(number: ShardNumber, as: "owner" | "follower", now: Tick): void {
    if (this.#opening.has(number) || this.#pauses(number, now)) return;
    this.#opening.add(number);
    void this.#parts.shards.open([number], as).then((failed) => {
      this.#opening.delete(number);
      const error = failed.get(number);
      if (error) this.#failed(number, "a shard cannot be opened", error);
      else this.#failures.delete(number);
      if (!error && as === "owner") this.#counters.claimed.add();
      this.#think();
    });
  }

  /** What failed is tried again after a growing pause. Another claim that came first is no failure, nor is one who was to
   *  take over and is not that far, or is going. */
  #failed(number: ShardNumber, what: string, error: SheafError): void {
    const { log, clock } = this.#parts.options.host;
    const expected = passing.has(error.code);
    log[expected ? "debug" : "warn"](what, { shard: number, reason: error.message });
    const pause = Math.min(1_000, (this.#failures.get(number)?.pause ?? 5) * 2);
    this.#failures.set(number, { until: this.#now() + pause, pause });
    clock.after(pause, () => this.#think());
  }

  async #handOver(shard: Shard, wanted: string): Promise<void> {
    const { shards, entities } = this.#parts;
    const { number } = shard;
    this.#moving.set(number, wanted);
    try {
      const to = await this.#closest(shard, wanted);
      this.#moving.set(number, to);
      shard.release();
      await entities.leave(shard, this.#parts.limits.handOverMs);
      await shards.handOver(number);
      await this.ask(to, "take", number);
      this.#counters.moved.add();
      this.#failures.delete(number);
    } catch (error) {
      const failure = asSheafError(error);
      this.#counters.failed.add();
      this.#failed(number, "a shard cannot be handed over", failure);
      if (shard.tenure.kind === "following" && failure.outcome === "not-applied") this.#takeBack(shard);
    } finally {
      this.#moving.delete(number);
      this.#think();
    }
  }

  /** Who is to take the shard: the one wanted; of a node that drains, whichever follows most closely. */
  #closest(shard: Shard, wanted: string): Promise<string> {
    const isLeaving = this.#self.state === "draining";
    const others = isLeaving ? (this.#placement()[shard.number] ?? []).filter((id) => id !== this.#self.id) : [];
    const { leaseMs } = this.#timing;
    const freshMs = Math.max(leaseMs, 3 * this.#parts.limits.followEveryMs);
    const ask = (id: string): Promise<unknown> => this.ask(id, "close", shard.number, leaseMs);
    return closestOf(shard, [wanted, ...others.filter((id) => id !== wanted)], ask, freshMs);
  }

  /** Whoever was to take the shard will not: this node need not wait for it to. */
  #takeBack(shard: Shard): void {
    this.#sight(shard, this.#now());
    const known = this.#known.get(shard.number);
    if (known) known.refused = true;
  }

  /** Asks another node, as nodes ask each other. */
  async ask(node: string, name: string, input: unknown, ms = askMs): Promise<unknown> {
    const peer = this.peers.get(node);
    if (!peer) throw new SheafError("UNREACHABLE", `node ${node} is not known`);
    const target = { kind: "procedure", service: peerService, name } as const;
    return (await peer.call({ target, input, principal: system, deadline: this.#now() + ms })).output;
  }

  /** What another node asks: is the shard followed closely here; take it; or something of the operator's side. */
  async #asked({ target, input }: Call): Promise<Reply> {
    if (target.name === "waiting") return { output: this.#parts.entities.chainsBehind(input) };
    if (target.name === "look") {
      if (this.#listening.lookAt(input, this.#now())) void this.#exchange();
      return { output: undefined };
    }
    if (target.name !== "close" && target.name !== "take") return { output: await this.serve(target.name, input) };
    const shard = typeof input === "number" ? this.#parts.shards.all[input] : undefined;
    if (!shard) throw new SheafError("BAD_INPUT", "there is no such shard");
    if (this.#closed || this.#self.state !== "ready") throw new SheafError("STOPPING");
    if (target.name === "close" && shard.tenure.kind !== "following")
      throw new SheafError("NOT_READY", `shard ${shard.number} is not followed here yet`);
    if (target.name === "close") return { output: distanceOf(shard, this.#now()) };
    const failed = (await this.#parts.shards.open([shard.number], "owner")).get(shard.number);
    this.#think();
    if (failed) throw failed;
    this.#counters.claimed.add();
    return { output: undefined };
  }
}

const passing: ReadonlySet<string> = new Set(["NOT_OWNER", "NOT_READY", "STOPPING", "UNREACHABLE"]);

const isOurs = ({ target }: Call): boolean => target.kind === "procedure" && target.service === peerService;
