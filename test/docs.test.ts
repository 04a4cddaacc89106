// The documentation holds: what its code blocks say compiles, runs and answers so, and the reference says what the code says.

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import {
  chmodSync,
  cpSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, delimiter, dirname, join } from "node:path";
import process from "node:process";
import test, { after, before, describe } from "node:test";
import { promisify } from "node:util";
import { answers, stepsOf, strangeCommands } from "./docs-console.fixture.ts";
import { commandTree, generated, scrapeOf, stale } from "./docs-generated.fixture.ts";
import {
  appOf,
  type Block,
  blocksOf,
  brokenAnchors,
  missingFiles,
  offTheMap,
  type Page,
  readPages,
  root,
} from "./docs-pages.fixture.ts";
import { sheafFile, startNode, type TestNode } from "./docs-server.fixture.ts";

const pages = readPages();
const blocks = pages.flatMap(blocksOf);
const home = realpathSync(mkdtempSync(join(tmpdir(), "sheaf-docs-")));
const run = promisify(execFile);
const ledger = "examples/ledger/app.ts";

/** `npx sheaf` is this clone's command; npm's own start is left out. */
function pathWithSheaf(): string {
  const bin = join(home, "bin");
  mkdirSync(bin);
  writeFileSync(join(bin, "npx"), `#!/bin/sh\nshift\nexec "${process.execPath}" "${sheafFile}" "$@"\n`);
  chmodSync(join(bin, "npx"), 0o755);
  return [bin, dirname(process.execPath), process.env["PATH"]].join(delimiter);
}
const env = { PATH: pathWithSheaf(), HOME: home, NO_COLOR: "1" };

/** Where a page's files are. A page that has none of its own stands beside the ledger's. */
const projectOf = (page: string): string => join(home, page.replaceAll(/[^\w]+/g, "-"));
const fileOf = (block: Block): string => join(projectOf(block.page), block.file ?? `line-${block.line}.ts`);

/** Writes every TypeScript block into its page's project. */
function writeProjects(): void {
  mkdirSync(join(home, "node_modules"));
  symlinkSync(root, join(home, "node_modules/sheaf"));
  for (const name of ["zod", "@types"]) symlinkSync(join(root, "node_modules", name), join(home, "node_modules", name));
  writeFileSync(join(home, "package.json"), `{"type":"module"}`);
  const { compilerOptions } = JSON.parse(readFileSync(join(root, "tsconfig.json"), "utf8"));
  const options = { ...compilerOptions, noUnusedLocals: false };
  writeFileSync(join(home, "tsconfig.json"), JSON.stringify({ compilerOptions: options, include: ["**/*.ts"] }));
  for (const block of blocks.filter(({ language }) => language === "ts")) {
    const file = fileOf(block);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, block.code);
  }
  for (const page of new Set(blocks.map((block) => block.page))) {
    if (blocks.some((block) => block.page === page && block.file?.startsWith("src/"))) continue;
    for (const path of globSync(`${root}examples/ledger/{contracts,account,transfer,bank,app}.ts`)) {
      cpSync(path, join(projectOf(page), basename(path)));
    }
  }
}

before(writeProjects);
after(() => rmSync(home, { recursive: true, force: true }));

test("docs: every TypeScript block compiles", async () => {
  assert.ok(blocks.filter(({ language }) => language === "ts").length >= 10, "there are hardly any blocks");
  const tsc = join(root, "node_modules/typescript/bin/tsc");
  const said = await run(process.execPath, [tsc, "-p", home]).then(
    () => "",
    (error: Error & { stdout?: string }) => error.stdout || error.message,
  );
  assert.equal(said, "");
});

test("docs: there is something to run", () => {
  const steps = blocks
    .filter(({ run, language }) => run && language === "console")
    .flatMap(({ code }) => stepsOf(code));
  assert.ok(steps.length >= 20 && blocks.some(({ kill }) => kill), `${steps.length} commands`);
});

describe("docs: runs as it says", { concurrency: 2 }, () => {
  const tests = blocks.filter((block) => block.run && block.file?.endsWith(".test.ts"));
  for (const block of tests) {
    test(`${block.page}:${block.line}`, async () => {
      const { stdout } = await run(process.execPath, ["--test", "--test-reporter=tap", fileOf(block)], {
        env,
        cwd: projectOf(block.page),
      });
      assert.match(stdout, /^# pass [1-9]/m);
    });
  }
  // Pages of the ledger share its node; any other page has an app of its own, however it calls the file.
  const appNamed = (page: Page): string => appOf(page) ?? ledger;
  const together = (page: Page): string => (appNamed(page) === ledger ? ledger : page.path);
  for (const talking of Map.groupBy(pages.filter(consoles), together).values()) {
    test(talking.map(({ path }) => path).join(", "), () => talk(appNamed(talking[0]!), talking));
  }
});

function consoles(page: Page): boolean {
  return blocksOf(page).some((block) => block.run && !block.file?.endsWith(".test.ts"));
}

/** Goes through the pages' blocks in order, against one node. */
async function talk(app: string, talking: readonly Page[]): Promise<void> {
  const own = app !== ledger;
  const cwd = own ? projectOf(talking[0]!.path) : mkdtempSync(join(home, "ledger-"));
  const node = await startNode(own ? join(cwd, app) : join(root, app), cwd);
  try {
    for (const block of talking.flatMap(blocksOf)) {
      if (block.kill) await node.again();
      if (!block.run || block.file?.endsWith(".test.ts")) continue;
      if (block.language === "ts")
        await run(process.execPath, [fileOf(block)], { env: { ...env, SHEAF_URL: node.gateway }, cwd });
      else for (const { command, answer } of stepsOf(block.code)) await step(block, command, answer, node, cwd);
    }
  } finally {
    await node.end();
  }
}

async function step(block: Block, command: string, answer: string, node: TestNode, cwd: string): Promise<void> {
  const here = command
    .replaceAll("http://127.0.0.1:4000", node.gateway)
    .replaceAll("http://127.0.0.1:4001", node.admin);
  const { stdout } = await run("sh", ["-c", here], { env, cwd });
  assert.ok(
    answers(answer, stdout),
    `${block.page}:${block.line}: ${command}\nshould answer\n${answer}\nand answers\n${stdout}`,
  );
}

test("docs: what is generated from the code is what the code says", async () => {
  const node = await startNode(join(root, ledger), mkdtempSync(join(home, "scraped-")));
  try {
    const scrape = await scrapeOf(node.gateway, node.admin, "entities/account/ann/balance");
    assert.deepEqual(stale(pages, generated(scrape)), []);
  } finally {
    await node.end();
  }
});

test("docs: every command and flag that a page names is one", () => {
  const program = commandTree();
  assert.deepEqual(
    pages.flatMap(({ path, text }) => strangeCommands(text, program).map((says) => `${path}: ${says}`)),
    [],
  );
});

test("docs: every heading that is linked is there, every page is on the map, every file that is named exists", () => {
  assert.deepEqual(brokenAnchors(pages), []);
  assert.deepEqual(offTheMap(pages), []);
  assert.deepEqual(
    missingFiles(pages, (pattern) => globSync(pattern, { cwd: root }).length > 0),
    [],
  );
});

test("docs: every variable that the code reads is described", () => {
  const sources = globSync("{src,bin}/**/*.{ts,mjs}", { cwd: root }).filter(
    (path) => !/\.(?:test|fixture)\.ts$/.test(path),
  );
  const read = new Set(
    sources.flatMap((path) => readFileSync(join(root, path), "utf8").match(/\bSHEAF_[A-Z_]+\b/g) ?? []),
  );
  assert.ok(read.size > 5);
  const described = pages.find(({ path }) => path === "docs/reference/configuration.md")?.text ?? "";
  assert.deepEqual(
    [...read].filter((name) => !described.includes(`\`${name}\``)),
    [],
  );
});

test("docs: every header and status of the OpenAPI document is described", async () => {
  const { bench } = await import("../src/gateway/gateway.fixture.ts");
  const document = await (await bench().fetch("/openapi.json")).text();
  const { components, paths } = JSON.parse(document);
  const sent = Object.values<{ in: string; name: string }>(components.parameters).filter((one) => one.in === "header");
  const answered = [...document.matchAll(/"([A-Z][A-Za-z]*(?:-[A-Za-z]+)*)":\{"\$ref":"#\/components\/headers\//g)].map(
    ([, name = ""]) => name,
  );
  const statuses = Object.values<Record<string, { responses?: object }>>(paths).flatMap((path) =>
    Object.values(path).flatMap((one) => Object.keys(one.responses ?? {})),
  );
  assert.ok(sent.length > 3 && answered.length > 3 && statuses.length > 10);
  const text = (pages.find(({ path }) => path === "docs/reference/http.md")?.text ?? "").toLowerCase();
  const missing = [...sent.map(({ name }) => name), ...answered].filter(
    (name) => !text.includes(`\`${name.toLowerCase()}\``),
  );
  const [, inUse = ""] = /statuses in use: ([\d, \n]+)/.exec(text) ?? [];
  assert.deepEqual([...new Set(missing), ...new Set(statuses.filter((status) => !inUse.includes(status)))], []);
});

test("docs: the README fits two screens", () => {
  const lines = pages.find(({ path }) => path === "README.md")?.text.split("\n").length ?? Infinity;
  assert.ok(lines <= 90, `${lines} lines`);
});
