// The command tree: names, arguments and options only. What a command does is imported when it runs, so that help and
// mistakes cost no more than the parser.

import { Command, Option } from "commander";
import type { Context, Run } from "./context.ts";
import { flagsHelp } from "./flags.ts";

type Load = () => Promise<Run<never>>;

/** Builds the tree; whichever command is chosen leaves its exit code through `done`. */
export function buildProgram(context: Context, done: (code: number) => void): Command {
  const act =
    (load: Load) =>
    async (...given: unknown[]): Promise<void> => {
      const command = given.at(-1) as Command;
      const run = (await load()) as Run<unknown>;
      done(await run(context, command.args, command.opts()));
    };
  const program = new Command("sheaf")
    .description("A distributed-application runtime for TypeScript.")
    .usage("COMMAND [options]")
    .addHelpText("after", flagsHelp);
  dailyLoop(program, act);
  resources(program, act);
  clusterResources(program, act);
  operatorResources(program, act);
  meta(program, act);
  prepare(program, context);
  return program;
}

type Act = (load: Load) => (...given: unknown[]) => Promise<void>;

function dailyLoop(program: Command, act: Act): void {
  program
    .command("create [DIR]")
    .description("make a new app from a template")
    .option("--template <NAME>", "ledger, booking or blank")
    .option("-y, --yes", "take the defaults, ask nothing")
    .option("--no-install", "do not run npm install")
    .action(act(async () => (await import("./create.ts")).create));
  serverOptions(program.command("dev [APP]").description("run an app on this machine, reload on save"))
    .option("--no-load", "do not start the app's load generator")
    .option("--for <SPAN>", "stop after it, such as 30s or 10m")
    .action(act(async () => (await import("./dev.ts")).dev));
  serverOptions(program.command("start APP").description("run an app as a server"))
    .option("--create", "create the cluster when the engine holds none")
    .option("--restart", "with --nodes: start a node again when it ends by itself")
    .action(act(async () => (await import("./start.ts")).start));
  remoteOptions(program.command("status").description("show the cluster: nodes, shards, engine"))
    .option("--shards", "list every shard")
    .action(act(async () => (await import("./status.ts")).status));
  callOptions(
    program.command("call TARGET [INPUT]").description("call account/acc-7/withdraw or service/procedure"),
  ).action(act(async () => (await import("./call.ts")).call));
  remoteOptions(
    program.command("doctor").description("check this machine, the data folder and the running node"),
  ).action(act(async () => (await import("./doctor.ts")).doctor));
  remoteOptions(program.command("bench").description("measure durable commands, queries and calls"))
    .option("--concurrency <LIST>", "calls in flight, comma-separated", "1,64,512")
    .option("--seconds <N>", "how long each run lasts", "3")
    .option("--runs <N>", "runs of each, the median is shown", "3")
    .option("--work <LIST>", "write, hot, read or call, comma-separated", "write,hot,read,call")
    .option("--keys <N>", "entities that write and read spread over", "1000")
    .action(act(async () => (await import("./bench.ts")).bench));
}

function resources(program: Command, act: Act): void {
  const entity = program.command("entity").description("look at entities and call them");
  remoteOptions(entity.command("ls TYPE").description("list entities of a type in key order"))
    .option("--prefix <TEXT>", "only keys that start with it")
    .option("--after <KEY>", "start after this key")
    .option("--limit <N>", "at most so many", "50")
    .action(act(async () => (await import("./entity.ts")).list));
  remoteOptions(entity.command("get TYPE KEY").description("show one entity's state and version")).action(
    act(async () => (await import("./entity.ts")).get),
  );
  remoteOptions(entity.command("history TYPE KEY").description("show its commits, newest first"))
    .option("--limit <N>", "at most so many", "20")
    .action(act(async () => (await import("./entity.ts")).history));
  callOptions(entity.command("call TYPE KEY NAME [INPUT]").description("run a command or query on it")).action(
    act(async () => (await import("./call.ts")).callEntity),
  );
}

function clusterResources(program: Command, act: Act): void {
  const node = program.command("node").description("the nodes of a cluster");
  remoteOptions(node.command("ls").description("list the nodes")).action(
    act(async () => (await import("./node.ts")).list),
  );
  remoteOptions(node.command("drain NODE").description("let others take over what a node serves; it stays up"))
    .option("--deadline <SPAN>", "wait so long until it serves nothing", "60s")
    .action(act(async () => (await import("./node.ts")).drain));
  remoteOptions(node.command("undrain NODE").description("let a drained node serve again")).action(
    act(async () => (await import("./node.ts")).undrain),
  );
  remoteOptions(node.command("cordon NODE").description("give a node nothing more; it keeps what it has")).action(
    act(async () => (await import("./node.ts")).cordon),
  );
  remoteOptions(node.command("uncordon NODE").description("give a node its share again")).action(
    act(async () => (await import("./node.ts")).uncordon),
  );
  remoteOptions(node.command("remove NODE").description("forget a node that is gone for good")).action(
    act(async () => (await import("./node.ts")).remove),
  );
  node
    .command("token")
    .description("print a token by which one new machine joins the cluster")
    .option("--data <DIR>", "data folder with the cluster's certificate authority", ".sheaf")
    .option("--ttl <SPAN>", "how long it is good, such as 10m or 2h; 7d at most", "10m")
    .option("--name <NAME>", "only for the node of this name, also when it is taken")
    .option("--address <HOST:PORT>", "where this cluster's nodes listen to each other; printed before the token")
    .action(act(async () => (await import("./node-token.ts")).token));

  const shard = program.command("shard").description("the shards of a cluster");
  remoteOptions(shard.command("ls").description("list the shards: owner, followers, how far"))
    .option("--node <NODE>", "only those that it serves")
    .action(act(async () => (await import("./shard.ts")).list));
  remoteOptions(
    shard
      .command("move SHARD")
      .description(
        "move a shard to a node and pin it there: while that node is away others serve it, then it goes back",
      ),
  )
    .requiredOption("--to <NODE>", "name or id")
    .option("--dry-run", "only say what would be done")
    .option("--deadline <SPAN>", "wait so long until it is there", "60s")
    .action(act(async () => (await import("./shard-move.ts")).move));
  remoteOptions(shard.command("unpin SHARD").description("let a shard that was moved go where it belongs")).action(
    act(async () => (await import("./shard-move.ts")).unpin),
  );
  remoteOptions(
    shard
      .command("rebalance")
      .description("take all pins away, a few at a time, and wait until shards are where they belong"),
  )
    .option("--dry-run", "only list which shards would move, where to and why")
    .option("--deadline <SPAN>", "wait so long", "10m")
    .action(act(async () => (await import("./shard-move.ts")).rebalance));
}

function operatorResources(program: Command, act: Act): void {
  const parked = program.command("parked").description("commands that crashed the process too often");
  remoteOptions(parked.command("ls").description("list what is parked and why")).action(
    act(async () => (await import("./parked.ts")).list),
  );
  remoteOptions(parked.command("show ID").description("show one parked command")).action(
    act(async () => (await import("./parked.ts")).show),
  );
  remoteOptions(parked.command("release ID").description("let it run again, once its code is mended")).action(
    act(async () => (await import("./parked.ts")).release),
  );

  leftToDo(program, act);
  queues(program, act);
  topics(program, act);
  schedules(program, act);
  backups(program, act);

  const endpoint = program.command("endpoint").description("addresses of services outside of the cluster");
  remoteOptions(endpoint.command("add NAME URL").description("add an address of an outside service"))
    .option("--private", "it may be of a private network or this machine, and http")
    .action(act(async () => (await import("./endpoint.ts")).add));
  remoteOptions(endpoint.command("ls").description("list outside services and their addresses")).action(
    act(async () => (await import("./endpoint.ts")).list),
  );
  remoteOptions(endpoint.command("remove NAME [URL]").description("remove an address, or all of a service")).action(
    act(async () => (await import("./endpoint.ts")).remove),
  );

  const key = program.command("key").description("API keys that callers present");
  remoteOptions(key.command("create NAME").description("make a key; its text is shown once"))
    .option("--role <ROLE...>", "app (call) or admin (call and operate)", ["app"])
    .option("--expires <SPAN>", "such as 12h or 90d; never when absent")
    .action(act(async () => (await import("./key.ts")).create));
  remoteOptions(key.command("ls").description("list keys; never their text")).action(
    act(async () => (await import("./key.ts")).list),
  );
  remoteOptions(key.command("revoke ID").description("refuse a key from now on")).action(
    act(async () => (await import("./key.ts")).revoke),
  );
}

function leftToDo(program: Command, act: Act): void {
  const entity = "only what is for entities of this type";
  const task = program.command("task").description("messages and timers: what commands have left to be done");
  remoteOptions(task.command("ls").description("list what is to be done, by when it is due"))
    .option("--entity <NAME>", entity)
    .option("--limit <N>", "at most so many", "50")
    .action(act(async () => (await import("./task.ts")).list));
  remoteOptions(task.command("shards").description("list how much waits at which shard, and for how long")).action(
    act(async () => (await import("./task.ts")).shards),
  );
  remoteOptions(task.command("cancel ID").description("take back a timer that is not to fire")).action(
    act(async () => (await import("./task.ts")).cancel),
  );
  const dlq = program.command("dlq").description("dead letters: messages, timers and jobs that failed for good");
  remoteOptions(dlq.command("ls").description("list them, and why they failed"))
    .option("--entity <NAME>", entity)
    .option("--by-cause", "how many failed of what, and why")
    .option("--after <PLACE>", "start after it, as the page before says")
    .option("--limit <N>", "at most so many", "50")
    .action(act(async () => (await import("./dlq.ts")).list));
  remoteOptions(dlq.command("show ID").description("show one with its input and who sent it")).action(
    act(async () => (await import("./dlq.ts")).show),
  );
  remoteOptions(dlq.command("redrive [ID]").description("try one again, or all, once the handler is mended"))
    .option("--all", "all there are")
    .option("--entity <NAME>", `with --all: ${entity}`)
    .option("--cause <TEXT>", "with --all: only those with this in their cause")
    .option("--rate <N>", "with --all: about so many in a second, over all nodes")
    .option("--follow", "with --all: stay until they are tried; it goes on without")
    .option("--dry-run", "only say what would be done")
    .action(act(async () => (await import("./dlq.ts")).redrive));
  remoteOptions(dlq.command("status").description("show what is still to be tried again, and until when"))
    .option("--entity <NAME>", entity)
    .option("--cause <TEXT>", "only those with this in their cause")
    .action(act(async () => (await import("./dlq.ts")).status));
  remoteOptions(dlq.command("cancel").description("leave as they are those that were still to be tried again"))
    .option("--entity <NAME>", entity)
    .option("--cause <TEXT>", "only those with this in their cause")
    .action(act(async () => (await import("./dlq.ts")).cancel));
  remoteOptions(dlq.command("drop ID").description("give one up: it is never carried out")).action(
    act(async () => (await import("./dlq.ts")).drop),
  );
}

function queues(program: Command, act: Act): void {
  const queue = program.command("queue").description("queues of jobs");
  remoteOptions(queue.command("ls").description("list queues, what waits in them, and which nodes do it")).action(
    act(async () => (await import("./queue.ts")).list),
  );
  remoteOptions(queue.command("peek QUEUE").description("show the jobs that are begun next, with their inputs"))
    .option("--limit <N>", "at most so many", "10")
    .action(act(async () => (await import("./queue.ts")).peek));
  remoteOptions(queue.command("add QUEUE JSON").description("add a job; - reads its input from stdin"))
    .option("--id <ID>", "added once, however often it is given")
    .option("--delay <SPAN>", "not before so long from now, such as 10s or 12h")
    .option("--priority <N>", "of jobs that are due the higher first: -100 to 100")
    .action(act(async () => (await import("./queue.ts")).add));
  remoteOptions(queue.command("show QUEUE JOB").description("show where a job is: how far it is, or what came of it"))
    .option("--wait <SPAN>", "until it is done or dead, or so long, such as 30s")
    .action(act(async () => (await import("./queue.ts")).show));
  remoteOptions(
    queue.command("pause QUEUE").description("begin no more of its jobs; what is leased goes on, more may be added"),
  ).action(act(async () => (await import("./queue.ts")).pause));
  remoteOptions(queue.command("resume QUEUE").description("begin its jobs again")).action(
    act(async () => (await import("./queue.ts")).resume),
  );
  remoteOptions(queue.command("purge QUEUE").description("count the jobs that nobody has, then drop them"))
    .option("-y, --yes", "drop them")
    .action(act(async () => (await import("./queue.ts")).purge));
}

function topics(program: Command, act: Act): void {
  const topic = program.command("topic").description("topics and their events");
  remoteOptions(topic.command("ls").description("list topics, and what is kept of them")).action(
    act(async () => (await import("./topic.ts")).list),
  );
  remoteOptions(
    topic.command("publish TOPIC JSON").description("publish an event, or a list of them; - reads from stdin"),
  )
    .option("--idempotency-key <KEY>", "repeats with the same key publish once")
    .action(act(async () => (await import("./topic.ts")).publish));
  remoteOptions(topic.command("tail TOPIC").description("show events as they come, until it is stopped"))
    .option("--from <PLACE>", "beginning, now, or a time such as 2026-11-23T12:00:00Z", "now")
    .option("--limit <N>", "stop after so many")
    .action(act(async () => (await import("./topic.ts")).tail));
  const group = program.command("group").description("subscriptions, and other groups that go through topics");
  remoteOptions(
    group.command("ls").description("list them: how far they are behind, and where they stand still"),
  ).action(act(async () => (await import("./group.ts")).list));
  const of = "of this topic, where it goes through several";
  remoteOptions(group.command("pause GROUP").description("let a subscription rest; it keeps its place"))
    .option("--topic <TOPIC>", of)
    .action(act(async () => (await import("./group.ts")).pause));
  remoteOptions(group.command("resume GROUP").description("let it go on from its place"))
    .option("--topic <TOPIC>", of)
    .action(act(async () => (await import("./group.ts")).resume));
  remoteOptions(
    group.command("seek GROUP").description("say what it would meet again or pass over, then have it go there"),
  )
    .requiredOption("--to <PLACE>", "beginning, now, or a time such as 2026-11-23T12:00:00Z")
    .option("--topic <TOPIC>", of)
    .option("-y, --yes", "do it")
    .action(act(async () => (await import("./group.ts")).seek));
  remoteOptions(group.command("rm GROUP").description("forget where a group was that is no subscription of the app"))
    .option("--topic <TOPIC>", of)
    .option("-y, --yes", "do it")
    .action(act(async () => (await import("./group.ts")).remove));
}

function schedules(program: Command, act: Act): void {
  const schedule = program.command("schedule").description("what runs time after time");
  remoteOptions(schedule.command("ls").description("list schedules and when they are due")).action(
    act(async () => (await import("./schedule.ts")).list),
  );
  remoteOptions(schedule.command("show SCHEDULE").description("show one schedule")).action(
    act(async () => (await import("./schedule.ts")).show),
  );
  remoteOptions(schedule.command("run SCHEDULE").description("begin a run now, beside those that are due")).action(
    act(async () => (await import("./schedule.ts")).run),
  );
  remoteOptions(schedule.command("pause SCHEDULE").description("begin no run any more until it is resumed")).action(
    act(async () => (await import("./schedule.ts")).pause),
  );
  remoteOptions(schedule.command("resume SCHEDULE").description("begin runs again, from the next that is due")).action(
    act(async () => (await import("./schedule.ts")).resume),
  );
}

function backups(program: Command, act: Act): void {
  const backup = engineOptions(
    program.command("backup DIR").description("copy a cluster, running or not, to a new folder"),
  );
  backup.action(act(async () => (await import("./backup.ts")).backup));
  backup
    .command("verify DIR")
    .description("read a backup again: is it whole?")
    .option("--encryption-key-file <FILE>", "also look into the records; also SHEAF_ENCRYPTION_KEY")
    .action(act(async () => (await import("./backup.ts")).verify));
  engineOptions(program.command("restore DIR").description("fill an empty engine, of any kind, from a backup"))
    .option("--again", "remove first what a restore that did not finish has left there")
    .option("--encryption-key-file <FILE>", "of an encrypted cluster; also SHEAF_ENCRYPTION_KEY")
    .action(act(async () => (await import("./restore.ts")).restore));
  const engine = program.command("engine").description("where a cluster is kept");
  engineOptions(engine.command("verify").description("read all journals and snapshots: is anything damaged?"))
    .option("--shard <N>", "only this one")
    .option("--encryption-key-file <FILE>", "also look into the records; also SHEAF_ENCRYPTION_KEY")
    .action(act(async () => (await import("./engine.ts")).verify));
}

/** Where a cluster is kept, for commands that ask no node. */
function engineOptions(command: Command): Command {
  return command
    .option("--engine <URL>", "sqlite:DIR, postgres://… or nats://a,b,c (default: sqlite in --data); also SHEAF_ENGINE")
    .option("--data <DIR>", "folder of the embedded engine", ".sheaf")
    .option("--limit <NAME=VALUE>", "another limit than usual, such as maxRecordBytes=…; also SHEAF_LIMITS", gather);
}

function meta(program: Command, act: Act): void {
  program
    .command("version")
    .description("show versions")
    .action(act(async () => (await import("./version.ts")).version));
  program
    .command("help [TOPIC...]")
    .description("explain a command or an error code")
    .action(act(async () => (await import("./help.ts")).help));
  program
    .command("completion SHELL")
    .description("print the completion script for bash, zsh or fish")
    .action(act(async () => (await import("./completion.ts")).completion));
  program
    .command("__complete [WORDS...]", { hidden: true })
    .action(act(async () => (await import("./completion.ts")).complete));
  program.command("__serve", { hidden: true }).action(act(async () => (await import("./server.ts")).serveChild));
}

function serverOptions(command: Command): Command {
  return command
    .option("--data <DIR>", "the node's own folder, and that of the embedded engine (default .sheaf)")
    .option("--engine <URL>", "sqlite:DIR, postgres://… or nats://a,b,c (default: sqlite in --data); also SHEAF_ENGINE")
    .option("--cluster <NAME>", "name of the cluster (default: the app's name)")
    .option("--nodes <N>", "so many nodes on this machine, each a process (default 1)")
    .option("--port <P>", "of the gateway; 0 takes any (default 4000); further nodes take the next free ones")
    .option("--admin-port <P>", "of the admin listener; 0 takes any (default 4001)")
    .option("--host <ADDRESS>", "the gateway listens on", "127.0.0.1")
    .option("--peer-host <ADDRESS>", "listen there for other nodes (default 127.0.0.1)")
    .option("--peer-port <P>", "listen there for other nodes (default: any free)")
    .option("--advertise <HOST[:PORT]>", "where other nodes reach this one, when that is not --peer-host")
    .option("--join <HOST:PORT#TOKEN>", "join a cluster on other machines, with what sheaf node token printed there")
    .option("--name <NAME>", "of the node, the same over restarts (default: kept in --data)")
    .option("--zone <NAME>", "what fails together: copies of a shard are spread over zones")
    .option(
      "--roles <LIST>",
      "host only these: names of services, and of entities kept apart; entities, rest, services, gateway (default: everything)",
    )
    .option("--weight <N>", "share of the shards, relative to the other nodes' (default 1)")
    .option("--copies <N>", "of each shard, on as many nodes (default 3)")
    .option("--shards <N>", "number of shards, only when the cluster is created (default 64)")
    .option(
      "--apart <ENTITIES[:SHARDS]>",
      "keep these in shards of their own, for --roles; only when the cluster is created; repeatable, a+b share theirs",
      gather,
    )
    .option("--encryption-key-file <FILE>", "32 bytes, hex or base64; also SHEAF_ENCRYPTION_KEY")
    .option("--limit <NAME=VALUE>", "another limit than usual, repeatable; also SHEAF_LIMITS", gather)
    .option(
      "--grace <SPAN>",
      "when stopping, take calls for so long after /readyz fails (default: 5s, 0s on a loopback --host)",
    )
    .option("--insecure", "let every caller in; only on a loopback --host");
}

/** An option that may be given several times. */
const gather = (value: string, before: readonly string[] = []): readonly string[] => [...before, value];

/** Where the running node is, and as whom to talk to it. */
function remoteOptions(command: Command): Command {
  return command
    .option("--url <URL>", "gateway (default: SHEAF_URL, or the node of --data)")
    .option("--admin <URL>", "admin listener (default: SHEAF_ADMIN_URL, or the node of --data)")
    .option("--data <DIR>", "data folder of a node on this machine", ".sheaf")
    .option("--token-file <FILE>", "API key (default: SHEAF_TOKEN, or that of --data)");
}

function callOptions(command: Command): Command {
  return remoteOptions(command)
    .option("--idempotency-key <KEY>", "repeats with the same key take effect once")
    .option("--deadline <SPAN>", "give up after it, such as 500ms or 10s")
    .addOption(new Option("--consistency <LEVEL>", "of a query").choices(["strong", "causal", "eventual"]))
    .option("--if-version <N>", "only when the entity is at this version")
    .option("--time", "say on stderr how long it took");
}

/** Our own errors, exit codes and streams in place of the parser's. */
function prepare(command: Command, context: Context): void {
  const { terminal } = context.output;
  command
    .exitOverride()
    .helpCommand(false)
    .showSuggestionAfterError(false)
    .configureHelp({ showGlobalOptions: false })
    .configureOutput({
      writeOut: (text) => terminal.out.write(text),
      writeErr: () => {},
      getOutHasColors: () => false,
    });
  for (const child of command.commands) prepare(child, context);
}
