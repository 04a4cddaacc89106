// `sheaf endpoint add|ls|remove`: where services outside of the cluster are.

import type { EndpointView } from "../control/index.ts";
import type { Run } from "./context.ts";
import type { Column } from "./output.ts";
import { adminOf, type RemoteOptions } from "./remote.ts";
import { printable } from "./terminal.ts";

const columns: readonly Column<EndpointView>[] = [
  { title: "service", value: ({ name }) => name },
  { title: "addresses", value: ({ urls }) => urls.join(" ") },
  { title: "network", value: (endpoint) => (endpoint.private ? "private" : "public") },
  { title: "changed by", value: ({ changedBy }) => changedBy },
];

export const add: Run<RemoteOptions & { readonly private?: boolean }> = async (
  context,
  [name = "", url = ""],
  options,
) => {
  const body = { name, url, private: options.private === true };
  const answer = await adminOf(context, options).ask("/admin/v1/endpoints", { method: "POST", body });
  const made = answer.body as EndpointView;
  context.output.one(
    "sheaf.endpoint/v1",
    made,
    (paint) => `${paint("green", "✓")} ${made.name} is called at ${made.urls.map(printable).join(" ")}`,
    made.name,
  );
  return 0;
};

export const list: Run<RemoteOptions> = async (context, _args, options) => {
  const admin = adminOf(context, options);
  const endpoints: EndpointView[] = [];
  for (;;) {
    const last = endpoints.at(-1);
    const after = last === undefined ? "" : `&after=${encodeURIComponent(last.name)}`;
    const page = (await admin.ask(`/admin/v1/endpoints?limit=1000${after}`)).body as readonly EndpointView[];
    endpoints.push(...page);
    if (page.length < 1000) break;
  }
  // One whose addresses were all removed is registered no more.
  const registered = endpoints.filter(({ urls }) => urls.length > 0);
  context.output.list("sheaf.endpoint.list/v1", registered, {
    columns,
    id: ({ name }) => name,
    empty: "no outside service is registered: sheaf endpoint add NAME URL",
  });
  return 0;
};

export const remove: Run<RemoteOptions> = async (context, [name = "", url], options) => {
  const which = url === undefined ? "" : `?url=${encodeURIComponent(url)}`;
  await adminOf(context, options).ask(`/admin/v1/endpoints/${encodeURIComponent(name)}${which}`, { method: "DELETE" });
  const told = { name, url: url ?? null };
  const what = url === undefined ? `all addresses of ${printable(name)} are` : `${printable(url)} is`;
  context.output.one("sheaf.endpoint.remove/v1", told, (paint) => `${paint("green", "✓")} ${what} removed`, name);
  return 0;
};
