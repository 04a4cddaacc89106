// The API page in a real browser, from a real listener: what a developer sees, clicks and types at /docs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { AxeBuilder } from "@axe-core/playwright";
import type { Browser, Page } from "playwright-core";
import { z } from "zod";
import { defaultLimits, SheafError } from "../src/base/index.ts";
import { Account, bench, type Bench } from "../src/gateway/gateway.fixture.ts";
import type { GatewayOptions } from "../src/gateway/index.ts";
import { checker, contract, queue, topic } from "../src/model/index.ts";
import { listen, type Listener } from "../src/platform/index.ts";
import type { Reply } from "../src/rpc/index.ts";
import { pack } from "../src/wire/index.ts";
import { openBrowser, withoutBrowser } from "./browser.fixture.ts";

const skip = withoutBrowser;
const key = "sk_for_this_test";
let browser: Browser;
const opened: Listener[] = [];

before(async () => {
  if (skip === false) browser = await openBrowser();
});
after(async () => {
  if (skip === false) await browser.close();
  await Promise.all(opened.map((listener) => listener.close(0)));
});

const onlyKey: GatewayOptions["authenticator"] = {
  authenticate: ({ bearer }) =>
    bearer === key ? { ok: true, principal: { id: "me", roles: ["app"] } } : { ok: false, reason: "unknown" },
};

/** A bank behind a real listener. */
async function serve(options: Partial<Pick<GatewayOptions, "authenticator">> = {}): Promise<string> {
  const b = bench(options);
  const check = checker(Account.commands.deposit.input, "the input", "BAD_INPUT");
  let cents = 0;
  let version = 0;
  b.answer = async ({ target, input }): Promise<Reply> => {
    if (target.name === "balance") return { output: cents, version, staleMs: 0 };
    const asked = (check(input) as { cents: number }).cents;
    if (target.name === "withdraw" && asked > cents)
      throw new SheafError("DECLARED", undefined, { name: "INSUFFICIENT", data: { short: asked - cents } });
    cents += target.name === "withdraw" ? -asked : asked;
    return { output: { cents }, version: ++version };
  };
  return listening(b);
}

async function listening({ http }: Bench): Promise<string> {
  const listener = await listen({ port: 0, answer: http.answer, limits: defaultLimits });
  opened.push(listener);
  return listener.url;
}

const post = contract("post", {
  entities: [],
  queues: [queue("mails", { input: z.object({ to: z.string() }), key: ({ to }) => to })],
  topics: [topic("news", { event: z.string() })],
});

/** Queues and topics behind a real listener. */
async function servePost(): Promise<{ url: string; calls: Bench["calls"] }> {
  const b = bench({ contract: () => post });
  const event = [1, "", 1_700_000_000_000, 1, pack("rain")];
  b.answer = async ({ target: { name }, input }): Promise<Reply> => {
    if (name === "result") return { output: { state: "waiting", attempts: 0 } };
    if (name !== "read") return { output: "ann/1" };
    // What waits for more than there is waits for ever.
    if ((input as { after: number }).after > 0) await new Promise(() => {});
    return { output: { events: [event], last: 1, floor: 0 } };
  };
  return { url: await listening(b), calls: b.calls };
}

type Visit = { readonly page: Page; readonly errors: string[]; close(): Promise<void> };

/** Opens /docs. Everything that the page complains of, and every request that leaves its origin, is an error. */
async function visit(url: string, colorScheme: "light" | "dark" = "light"): Promise<Visit> {
  const context = await browser.newContext({ colorScheme, viewport: { width: 1280, height: 900 } });
  const errors: string[] = [];
  let requests = 0;
  context.on("request", (request) => {
    requests++;
    if (!request.url().startsWith(`${url}/`) && !request.url().startsWith("data:"))
      errors.push(`asked ${request.url()}`);
  });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => errors.push(String(error)));
  page.on("console", (message) => {
    // A browser notes each answer of 400 and above; which of those are right is for the test to say.
    const isStatus = message.text().startsWith("Failed to load resource: the server responded with a status of 4");
    if (["error", "warning"].includes(message.type()) && !isStatus) errors.push(message.text());
  });
  await page.goto(`${url}/docs`);
  return {
    page,
    errors,
    async close() {
      await context.close();
      assert.deepEqual(errors, []);
      assert.ok(requests >= 4, "the page, its two files and the document");
    },
  };
}

const response = (page: Page): ReturnType<Page["getByRole"]> => page.getByRole("region", { name: "Response" });
const open = (page: Page, operation: string): Promise<void> => page.locator(`nav a[href="#${operation}"]`).click();

test("docs page: shows what the application offers, and carries out commands and queries", { skip }, async () => {
  const { page, close } = await visit(await serve());
  await page.getByRole("heading", { level: 1, name: "bank" }).waitFor();
  await page.getByText("✓ ready").waitFor();
  const links = await page
    .locator("nav a")
    .evaluateAll((all) => all.map((one) => one.getAttribute("href") ?? "").sort());
  assert.deepEqual(links, [
    "#account.balance",
    "#account.close",
    "#account.deposit",
    "#account.find",
    "#account.withdraw",
    "#rates.quote",
    "#rates.refresh",
  ]);
  await open(page, "account.deposit");
  await page.getByLabel("Key", { exact: true }).fill("acc 7/ü");
  await page.getByLabel("Input").fill('{ "cents": 500 }');
  await page.getByRole("button", { name: "New" }).click();
  await page.getByRole("button", { name: "Send" }).click();
  await response(page).getByText("✓ 200 OK").waitFor();
  assert.match(await response(page).innerText(), /"cents": 500[^]*$/);
  assert.match(
    await page.getByLabel("The same call as code").innerText(),
    /acc%207%2F%C3%BC\/deposit[^]*-d '{"cents":500}'/,
  );

  await open(page, "account.balance");
  await page.getByLabel("Consistency").selectOption("strong");
  await page.getByRole("button", { name: "Send" }).click();
  await response(page).getByText("✓ 200 OK").waitFor();
  assert.match(await response(page).innerText(), /etag\s+"v1"[^]*500/);
  await close();
});

test("docs page: shows errors as the gateway tells them", { skip }, async () => {
  const { page, close } = await visit(await serve());
  await open(page, "account.withdraw");
  const send = async (input: string, status: string): Promise<string> => {
    await page.getByLabel("Input").fill(input);
    await page.getByRole("button", { name: "Send" }).click();
    await response(page).getByText(status).waitFor();
    return response(page).innerText();
  };
  assert.match(await send('{ "cents": 7 }', "✕ 422"), /INSUFFICIENT[^]*"short": 7/);
  assert.match(await send('{ "cents": -1 }', "✕ 400"), /BAD_INPUT[^]*\/cents/);
  assert.match(await send("{ not json", "✕ 400"), /MALFORMED/);
  await page.getByLabel("Input").fill(`{ "cents": "<img src=x onerror=document.title='broken'>" }`);
  await page.getByRole("button", { name: "Send" }).click();
  await response(page).getByText("BAD_INPUT").first().waitFor();
  assert.equal(await page.locator("main img").count(), 0);
  await close();
});

test(
  "docs page: asks for a key where one is needed, says when it is wrong, and opens with the right one",
  { skip },
  async () => {
    const { page, close } = await visit(await serve({ authenticator: onlyKey }));
    await page.getByRole("heading", { name: "This API asks for a key" }).waitFor();
    assert.equal(await page.locator("nav a").count(), 0, "nothing of the application is shown before");
    await page.getByLabel("API key").fill("sk_wrong");
    await page.keyboard.press("Enter");
    await page.getByRole("alert").waitFor();
    await page.getByLabel("API key").fill(key);
    await page.keyboard.press("Enter");
    await open(page, "account.deposit");
    await page.getByRole("button", { name: "Send" }).click();
    await response(page).getByText("✓ 200 OK").waitFor();
    assert.doesNotMatch(await page.locator("body").innerText(), new RegExp(key), "the key is never shown");
    const kept = await page.evaluate(() =>
      JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]),
    );
    assert.doesNotMatch(kept, new RegExp(key));
    await close();
  },
);

test(
  "docs page: jobs are added and asked about, and events come, though their stream has no end",
  { skip },
  async () => {
    const { url, calls } = await servePost();
    const { page, close } = await visit(url);
    const send = async (status: string): Promise<string> => {
      await page.getByRole("button", { name: "Send" }).click();
      await response(page).getByText(status).waitFor();
      return response(page).innerText();
    };
    await open(page, "mails.add");
    await page.getByText("queue", { exact: true }).last().waitFor();
    await page.getByLabel("Input").fill('{ "to": "ann" }');
    await page.getByLabel("delayMs").fill("500");
    assert.match(await send("✓ 200 OK"), /"id": "ann\/1"/);
    assert.deepEqual(calls.at(-1)?.input, { input: { to: "ann" }, delayMs: 500 });

    await open(page, "mails.result");
    await page.getByText("GET /queues/mails/jobs/{job}").waitFor();
    await page.getByLabel("job").fill("ann/1");
    assert.match(await send("✓ 200 OK"), /"state": "waiting"/);
    assert.deepEqual(calls.at(-1)?.input, { id: "ann/1", waitMs: 0 });

    await open(page, "mails.extend");
    await page.getByLabel("job").fill("ann/1");
    await page.getByLabel("attempt").fill("2");
    await page.getByLabel("Input").fill('{ "ms": 1000 }');
    await send("✓ 204 No Content");
    assert.deepEqual(calls.at(-1)?.input, { id: "ann/1", attempt: 2, ms: 1000 });

    await open(page, "news.events");
    await page.getByLabel("from").fill("beginning");
    assert.match(await page.getByLabel("The same call as code").innerText(), /news\/events\?from=beginning'$/);
    assert.match(await send("✓ 200 OK"), /"data":\s*"rain"/);
    await close();
  },
);

test("docs page: everything is reached and done by keyboard alone", { skip }, async () => {
  const { page, close } = await visit(await serve());
  await page.locator("nav a").first().waitFor();
  const at = (): Promise<string> =>
    page.evaluate(() => {
      const it = document.activeElement;
      const id = it?.id ?? "";
      return id !== "" ? id : (it?.getAttribute("href") ?? it?.getAttribute("aria-label") ?? it?.textContent ?? "");
    });
  const pressUntil = async (wanted: string): Promise<void> => {
    const seen: string[] = [];
    while (seen.length < 40) {
      await page.keyboard.press("Tab");
      seen.push(await at());
      if (seen.at(-1) === wanted) return;
    }
    assert.fail(`Tab does not reach ${wanted}: ${seen.join(" › ")}`);
  };
  await page.keyboard.press("Tab");
  assert.equal(await at(), "#main", "the first stop skips to the content");
  await pressUntil("#account.deposit");
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement as Element).outlineStyle);
  assert.equal(outline, "solid", "where the focus is can be seen");
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "account.deposit" }).waitFor();
  await pressUntil("input");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type('{"cents":3}');
  await page.keyboard.press("Control+Enter");
  await response(page).getByText("✓ 200 OK").waitFor();
  await close();
});

test("docs page: in both colour schemes axe finds nothing wrong, contrast included", { skip }, async () => {
  const url = await serve();
  const canvases = new Set<string>();
  for (const scheme of ["light", "dark"] as const) {
    const { page, close } = await visit(url, scheme);
    await open(page, "account.deposit");
    await page.getByRole("button", { name: "Send" }).click();
    await response(page).getByText("✓ 200 OK").waitFor();
    canvases.add(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    // Its own blank page for the end of a run is no request of ours.
    const { violations, passes } = await new AxeBuilder({ page }).analyze();
    assert.deepEqual(
      violations.map(({ id, nodes }) => `${scheme} ${id}: ${nodes.map((node) => node.html).join(" ")}`),
      [],
    );
    assert.ok(passes.some(({ id }) => id === "color-contrast"));
    const themes: string[] = [];
    for (let press = 0; press < 3; press++) {
      await page.getByRole("button", { name: /^Theme/ }).click();
      themes.push(await page.evaluate(() => getComputedStyle(document.body).backgroundColor));
    }
    assert.equal(new Set(themes).size, 2, "the button reaches light and dark whatever the system says");
    await close();
  }
  assert.equal(canvases.size, 2);
});
