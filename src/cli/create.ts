// `sheaf create`: a new app from a template. A template is one of the package's own examples, so what is generated is what
// this package's tests run.

import { spawnSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, delimiter, dirname, join, relative, resolve } from "node:path";
import process from "node:process";
import { createInterface } from "node:readline/promises";
import { SheafError } from "../base/index.ts";
import type { Output } from "./output.ts";
import type { Run } from "./context.ts";
import { packageFolder, release } from "./release.ts";

type CreateOptions = { readonly template?: string; readonly yes?: boolean; readonly install: boolean };

const templates = {
  ledger: "transfers that never lose or invent money, with load and a checker",
  booking: "seats, holds that expire, a line and payments, with load and a checker",
  blank: "one entity, one test",
} as const;
type Template = keyof typeof templates;

export const create: Run<CreateOptions> = async ({ output, cwd }, [given], options) => {
  const ask = options.yes !== true && output.terminal.interactive && !output.flags.json;
  const answers = ask ? await interview(given, options.template) : { dir: given, template: options.template };
  if (answers.dir === undefined || answers.dir === "") {
    throw new SheafError("USAGE", "which folder?", { hint: "sheaf create my-app --template ledger" });
  }
  const template = checkTemplate(answers.template ?? "ledger");
  const dir = resolve(cwd, answers.dir);
  const name = checkFolder(dir);
  const files = generate(dir, name, template);
  const installed = options.install && install(dir, output);
  const value = { dir, name, template, files, installed };
  const shown = relative(cwd, dir) || ".";
  const commands = [
    shown === "." ? "" : `cd ${shown}`,
    installed ? "" : "npm install",
    "npm test",
    "npm run dev",
  ].filter(Boolean);
  output.one(
    "sheaf.create/v1",
    value,
    (paint) => `${paint("green", "✓")} ${files.length} files in ${shown} from the ${template} template`,
    dir,
  );
  output.note(`\n  ${commands.join(" && ")}`);
  return 0;
};

async function interview(
  dir: string | undefined,
  template: string | undefined,
): Promise<{ dir: string; template: string }> {
  const reader = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const folder = dir ?? ((await reader.question("Folder (my-app): ")).trim() || "my-app");
    if (template !== undefined) return { dir: folder, template };
    for (const [name, says] of Object.entries(templates)) process.stderr.write(`  ${name.padEnd(7)} ${says}\n`);
    return { dir: folder, template: (await reader.question("Template (ledger): ")).trim() || "ledger" };
  } finally {
    reader.close();
  }
}

function checkTemplate(name: string): Template {
  if (Object.hasOwn(templates, name)) return name as Template;
  throw new SheafError("USAGE", `there is no template "${name}"`, {
    hint: `Templates: ${Object.keys(templates).join(", ")}`,
  });
}

/** The package name that the folder's name gives. Rejects a folder that has anything in it. */
function checkFolder(dir: string): string {
  if (existsSync(dir)) {
    let found: string[];
    try {
      found = readdirSync(dir).filter((name) => name !== ".git");
    } catch {
      throw new SheafError("USAGE", `${dir} is not a folder`);
    }
    if (found.length > 0)
      throw new SheafError("USAGE", `${dir} is not empty`, { hint: "Choose a new folder; nothing was written." });
  }
  const name = basename(dir)
    .toLowerCase()
    .replace(/[^a-z0-9-]+/g, "-")
    .replace(/^-+|-+$/g, "");
  if (name !== "") return name;
  throw new SheafError("USAGE", `"${basename(dir)}" gives no package name`, {
    hint: "Use letters and digits in the folder's name.",
  });
}

/** Writes the app and returns the paths, relative to it. */
function generate(dir: string, name: string, template: Template): string[] {
  const from = join(packageFolder, "examples", template);
  mkdirSync(dir, { recursive: true });
  for (const entry of readdirSync(from)) {
    const place = entry.endsWith(".test.ts") ? "test" : entry.endsWith(".ts") ? "src" : "";
    mkdirSync(join(dir, place), { recursive: true });
    if (entry === "README.md")
      writeFileSync(join(dir, entry), readFileSync(join(from, entry), "utf8").replace(/^# .*/, `# ${name}`));
    else if (place === "") cpSync(join(from, entry), join(dir, entry), { recursive: true });
    else
      writeFileSync(
        join(dir, place, entry),
        place === "test" ? fromTestFolder(readFileSync(join(from, entry), "utf8")) : readFileSync(join(from, entry)),
      );
  }
  writeFileSync(join(dir, "package.json"), `${JSON.stringify(packageOf(dir, name, template), null, 2)}\n`);
  writeFileSync(join(dir, "tsconfig.json"), `${JSON.stringify(compilerOptions, null, 2)}\n`);
  writeFileSync(join(dir, ".gitignore"), "node_modules/\n.sheaf/\n");
  return readdirSync(dir, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(dir, join(entry.parentPath, entry.name)))
    .sort();
}

/** In a new app tests have a folder of their own, one step away from what they import. */
const fromTestFolder = (code: string): string => code.replaceAll(/(["'])\.\/([^"']+\.ts)\1/g, "$1../src/$2$1");

function packageOf(dir: string, name: string, template: Template): object {
  const own = release() as ReturnType<typeof release> & { devDependencies?: Record<string, string>; private?: boolean };
  const versions = own.devDependencies ?? {};
  const failure = template === "blank" ? {} : { "break-it": "node src/break-it.ts" };
  return {
    name,
    version: "0.1.0",
    private: true,
    type: "module",
    scripts: {
      dev: "sheaf dev src/app.ts",
      start: "sheaf start src/app.ts",
      test: "node --test 'test/**/*.test.ts'",
      types: "tsc -p .",
      ...failure,
    },
    dependencies: {
      sheaf: originOf(own, dir),
      zod: versions["zod"] ?? "^4.6.7",
    },
    devDependencies: {
      "@types/node": versions["@types/node"] ?? "^24.19.2",
      node: versions["node"] ?? "^24.21.0",
      typescript: versions["typescript"] ?? "^7.0.2",
    },
    allowScripts: { node: true },
  };
}

/** Where this package is from, as the app names it. A clone or a tarball is named itself, so that the app works before anything is
 *  published. */
function originOf(
  { name, version, private: isPrivate }: ReturnType<typeof release> & { private?: boolean },
  dir: string,
): string {
  if (existsSync(join(packageFolder, ".git")) || isPrivate === true) return `file:${relative(dir, packageFolder)}`;
  const record = join(packageFolder, "..", ".package-lock.json");
  type Record = { readonly packages?: { readonly [path: string]: { readonly resolved?: string } } };
  const { packages = {} } = existsSync(record) ? (JSON.parse(readFileSync(record, "utf8")) as Record) : {};
  const from = packages[`node_modules/${name}`]?.resolved ?? "";
  if (!from.startsWith("file:")) return `^${version}`;
  return `file:${relative(dir, resolve(packageFolder, "..", "..", from.slice("file:".length)))}`;
}

const compilerOptions = {
  compilerOptions: {
    target: "es2024",
    lib: ["es2024", "esnext.disposable", "dom", "dom.iterable"],
    module: "nodenext",
    types: ["node"],
    strict: true,
    exactOptionalPropertyTypes: true,
    noUncheckedIndexedAccess: true,
    erasableSyntaxOnly: true,
    verbatimModuleSyntax: true,
    allowImportingTsExtensions: true,
    noEmit: true,
    skipLibCheck: true,
  },
  include: ["src", "test"],
};

/** Runs npm install, on this very Node; a failure is said, not thrown: the app is there and can be installed by hand. */
function install(dir: string, output: Output): boolean {
  output.note("npm install …");
  const npm = process.platform === "win32" ? "npm.cmd" : "npm";
  const done = spawnSync(npm, ["install", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: dir,
    env: { ...process.env, PATH: [dirname(process.execPath), process.env["PATH"]].join(delimiter) },
    stdio: ["ignore", 2, 2],
    shell: process.platform === "win32",
  });
  if (done.status !== 0) output.warn("npm install did not finish; run it in the new folder");
  return done.status === 0;
}
