import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { type Accusation, type Member, standAside } from "./index.ts";
import { accusable } from "./exclusion.ts";
import { memberNamed } from "./world.fixture.ts";

const membersOf = (...members: Member[]): Map<string, Member> => new Map(members.map((member) => [member.id, member]));
const plain = (names: string): Map<string, Member> => membersOf(...[...names].map((name) => memberNamed(name)));
/** "ab cd": a accuses b, c accuses d. */
const accusations = (text: string): Accusation[] =>
  text
    .split(" ")
    .filter((pair) => pair !== "")
    .map((pair) => [pair.charAt(0), pair.charAt(1)]);
const aside = (names: string, text: string): string => [...standAside(plain(names), accusations(text))].sort().join("");

test("exclusion: the well known cuts have the outcome that keeps most", () => {
  assert.equal(aside("ab", "ab ba"), "b", "two members, cut");
  assert.equal(aside("ab", "ab"), "b", "two members, cut one way");
  assert.equal(aside("ab", "ba"), "b", "two members, cut the other way");
  assert.equal(aside("abc", "ac bc ca cb"), "c", "three, one isolated");
  assert.equal(aside("abc", "ab ac"), "a", "three, one that hears nobody");
  assert.equal(aside("abc", "ac ca"), "c", "a chain");
  assert.equal(aside("abcde", "ad ae bd be cd ce da db dc ea eb ec"), "de", "five, three against two");
  assert.equal(aside("abcde", "cd ce da db de ea eb"), "de", "accusations of one side only");
  assert.equal(aside("abc", "ab bc ca"), "bc", "nobody hears anybody");
  assert.equal(aside("abc", ""), "", "all is well");
});

test("exclusion: of equals the one that serves less, then weighs less, then has the higher id stands aside", () => {
  const decide = (a: Partial<Member>, b: Partial<Member>): string =>
    [...standAside(membersOf(memberNamed("a", a), memberNamed("b", b)), accusations("ab"))].join("");
  assert.equal(decide({}, {}), "b");
  assert.equal(decide({ weight: 1 }, { weight: 2 }), "a");
  assert.equal(decide({ entities: false, weight: 9 }, {}), "a");
  assert.equal(decide({ state: "draining", weight: 9 }, {}), "a");
});

test("exclusion: accusations of or by strangers, and of oneself, count for nothing", () => {
  assert.equal(aside("ab", "ax xa xb aa bb"), "");
});

test("exclusion: X1 X2 X3 nobody left accuses anybody left, all agree whatever the order, and somebody is left", () => {
  const names = "abcdefgh";
  const letter = fc.constantFrom(...names);
  fc.assert(
    fc.property(fc.array(fc.tuple(letter, letter), { maxLength: 40 }), fc.nat(), (pairs, turn) => {
      const members = plain(names);
      const out = standAside(members, pairs);
      for (const [a, b] of pairs) assert.ok(a === b || out.has(a) || out.has(b));
      assert.ok(out.size < members.size);
      const turned = pairs.slice(turn % (pairs.length + 1)).concat(pairs.slice(0, turn % (pairs.length + 1)));
      const swapped = turned.map(([a, b]): Accusation => [b, a]);
      const reversed = new Map([...members].reverse());
      assert.deepEqual([...standAside(reversed, swapped)].sort(), [...out].sort());
    }),
    { numRuns: 500 },
  );
});

test("exclusion: of a large cluster cut in two one half is left, though each accuses only some of the other", () => {
  const half = (side: string): string[] => Array.from({ length: 300 }, (_, i) => `${side}${i}`);
  const [west, east] = [half("w"), half("e")];
  const members = membersOf(...[...west, ...east].map((name) => memberNamed(name)));
  const say = (ids: string[], others: string[]): Accusation[] =>
    ids.flatMap((id) => accusable(others, id).map((other): Accusation => [id, other]));
  const out = standAside(members, [...say(west, east), ...say(east, west)]);
  const left = (ids: string[]): number => ids.filter((id) => !out.has(id)).length;
  assert.ok(Math.max(left(west), left(east)) > 290, `${left(west)} and ${left(east)}`);
  assert.ok(Math.min(left(west), left(east)) < 5, `${left(west)} and ${left(east)}`);
});
