// `sheaf key create|ls|revoke`: the API keys that callers present.

import { type Column } from "./output.ts";
import { parseSpan, type Run } from "./context.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";

type CreateOptions = RemoteOptions & { readonly role: readonly string[]; readonly expires?: string };

/** As the admin API gives it. */
type KeyView = {
  readonly id: string;
  readonly name: string;
  readonly roles: readonly string[];
  readonly createdAt: number;
  readonly expiresAt: number | null;
  readonly revokedAt: number | null;
  readonly lastUsedAt: number | null;
};

const date = (at: number | null): string =>
  at === null ? "-" : new Date(at).toISOString().slice(0, 16).replace("T", " ");

function standing(key: KeyView): string {
  if (key.revokedAt !== null) return "revoked";
  return key.expiresAt !== null && key.expiresAt <= Date.now() ? "expired" : "good";
}

const columns: readonly Column<KeyView>[] = [
  { title: "id", value: ({ id }) => id },
  { title: "name", value: ({ name }) => name },
  { title: "roles", value: ({ roles }) => roles.join(",") },
  { title: "standing", value: standing, style: (key) => (standing(key) === "good" ? "green" : "dim") },
  { title: "created", value: ({ createdAt }) => date(createdAt) },
  { title: "expires", value: ({ expiresAt }) => date(expiresAt) },
  { title: "last used", value: ({ lastUsedAt }) => date(lastUsedAt) },
];

export const create: Run<CreateOptions> = async (context, [name = ""], options) => {
  const { output } = context;
  const expiresAt = options.expires === undefined ? null : Date.now() + parseSpan(options.expires, "--expires");
  const answer = await adminOf(context, options).ask("/admin/v1/keys", {
    method: "POST",
    body: { name, roles: options.role, expiresAt },
  });
  const made = answer.body as { id: string; key: string };
  output.one("sheaf.key/v1", { ...made, name, roles: options.role, expiresAt }, () => made.key, made.key);
  output.note(`This is the only time the key is shown. Its id is ${made.id}.`);
  return 0;
};

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const admin = adminOf(context, options);
  const keys: KeyView[] = [];
  for (;;) {
    const last = keys.at(-1);
    const after = last === undefined ? "" : `&after=${encodeURIComponent(last.id)}`;
    const page = (await admin.ask(`/admin/v1/keys?limit=1000${after}`)).body as readonly KeyView[];
    keys.push(...page);
    if (page.length < 1000) break;
  }
  context.output.list("sheaf.key.list/v1", keys, {
    columns,
    id: ({ id }) => id,
    empty: "there are no keys yet: sheaf key create NAME",
  });
  return 0;
};

export const revoke: Run<RemoteOptions> = async (context, [id = ""], options) => {
  await adminOf(context, options).ask(`/admin/v1/keys/${encodeURIComponent(id)}`, { method: "DELETE" });
  context.output.one(
    "sheaf.key.revoke/v1",
    { id },
    (paint) => `${paint("green", "✓")} ${id} is revoked; every gateway refuses it within five seconds`,
    id,
  );
  return 0;
};
