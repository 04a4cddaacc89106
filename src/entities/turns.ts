// How much is carried out before others get a turn, and how long it takes until those who wait get theirs. Handlers may take long,
// and a node that is asked for more than it can do would do nothing else: hear nobody who gives up, and send no sign of life.

import type { Millis, Tick } from "../base/index.ts";

/** After so much of work the event loop gets its turn. */
const turnMs: Millis = 8;
/** Commands of one slice, however short they are. */
const mostCommands = 256;
/** Commands over which what one takes is averaged. */
const averaged = 64;
/** So few are no crowd: where they wait for long the machine does something else. */
const fewCommands = 64;
/** Longer than this the process has stood still, which says nothing of the commands. */
const longestMs: Millis = 1000;

export class Turns {
  /** Commands that could start now. */
  ready = 0;
  /** What one command takes, and how long after the one before it each is done while some wait. */
  #eachMs: Millis = 0.5;
  #paceMs: Millis = 0;
  #worked: Millis = 0;
  /** End of the last slice, if it left something. */
  #left: Tick | undefined;

  /** How long one that comes now waits for its turn, about. */
  get behindMs(): Millis {
    return this.ready <= fewCommands ? 0 : this.ready * this.#paceMs;
  }

  /** Commands that are done in so long, about. */
  doneIn(ms: Millis): number {
    return Math.max(1, Math.floor(ms / this.#paceMs));
  }

  /** Commands to carry out before one looks at the time again. */
  get most(): number {
    return Math.max(1, Math.min(mostCommands, Math.floor(turnMs / this.#eachMs)));
  }

  /** A slice is over. `goesOn`: what is left is carried out as soon as others have had their turn. */
  worked(commands: number, began: Tick, ended: Tick, goesOn: boolean): void {
    const since = this.#left ?? began;
    this.#left = goesOn ? ended : undefined;
    if (commands === 0) return;
    this.#worked += ended - began;
    const share = Math.min(0.5, commands / averaged);
    this.#eachMs = closer(this.#eachMs, (ended - began) / commands, share);
    this.#paceMs = closer(this.#paceMs, Math.min(ended - since, longestMs) / commands, share);
  }

  /** Is it others' turn? Asked before each slice. */
  isOver(): boolean {
    if (this.#worked < turnMs) return false;
    this.#worked = 0;
    return true;
  }
}

const closer = (from: number, to: number, share: number): number => from + (to - from) * share;
