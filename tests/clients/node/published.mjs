// `node published.mjs MCP_URL legacy|auto`: a desktop program that knows local servers only. It reaches the endpoint through
// `mcp-remote`, which logs in by itself and speaks to it in one era or the other; behind stands the reference server of the
// protocol's authors. Prints `AUTHORIZE`, `WALKED` with what came of each step, and in the newer era `CHANGED`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
  ProgressNotificationSchema,
  ToolListChangedNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { say } from "./loopback.mjs";

const [url, era] = process.argv.slice(2);
const root = dirname(createRequire(import.meta.url).resolve("mcp-remote/package.json"));
const transport = new StdioClientTransport({
  command: process.execPath,
  args: [join(root, "dist/proxy.js"), url, "--allow-http", "--transport", "http-only", "--protocol", era, "--auth-timeout", "60"],
  // No program is on this path: the browser is the test's.
  env: { ...process.env, PATH: process.env.HOME },
  stderr: "pipe",
});
createInterface({ input: transport.stderr }).on("line", (line) => {
  const address = line.trim();
  if (address.startsWith("http") && new URL(address).searchParams.has("code_challenge")) say("AUTHORIZE", address);
  else process.stderr.write(`${line}\n`);
});

const client = new Client({ name: "desktop", version: "1.0.0" }, { capabilities: { elicitation: {}, sampling: {}, roots: {} } });
client.setRequestHandler(ElicitRequestSchema, async () => ({ action: "accept", content: { name: "Ada", check: true } }));
client.setRequestHandler(CreateMessageRequestSchema, async () => ({
  role: "assistant",
  model: "a-model",
  content: { type: "text", text: "Paris" },
}));
client.setRequestHandler(ListRootsRequestSchema, async () => ({ roots: [{ uri: "file:///notes/ada", name: "home" }] }));
const logged = [];
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void logged.push(params.data));
// The SDK's own handler forgets who waits for progress as soon as the answer is there, though a step came before it.
const progress = [];
client.setNotificationHandler(ProgressNotificationSchema, ({ params }) => void progress.push(params.progress));
let changed;
const change = new Promise((resolve) => (changed = resolve));
client.setNotificationHandler(ToolListChangedNotificationSchema, () => changed());
await client.connect(transport);

const found = { calls: 0 };
const call = (name, args = {}, _meta = undefined) => {
  found.calls += 1;
  return client.callTool({ name, arguments: args, _meta });
};
const text = (result) => result.content.map((part) => part.text ?? "").join("");
const read = async (uri) => (await client.readResource({ uri })).contents[0];
const names = async () => (await client.listTools()).tools.map((tool) => tool.name);

found.tools = await names();
found.echo = text(await call("echo", { message: "hello" }));
found.structured = (await call("get-structured-content", { location: "Chicago" })).structuredContent?.conditions;
await call("trigger-long-running-operation", { duration: 0.3, steps: 3 }, { progressToken: "steps" });
found.progress = progress;

const links = (await call("get-resource-links", { count: 2 })).content.filter((part) => part.type === "resource_link");
found.linked = [];
for (const { uri } of links) found.linked.push((await read(uri)).uri === uri);
const embedded = (await call("get-resource-reference", { resourceType: "Text", resourceId: 4 })).content[1].resource;
found.embedded = (await read(embedded.uri)).text;
found.resources = (await client.listResources()).resources.length;
found.templates = (await client.listResourceTemplates()).resourceTemplates.map((template) => template.uriTemplate);

found.prompts = (await client.listPrompts()).prompts.map((prompt) => prompt.name);
const weather = await client.getPrompt({ name: "args-prompt", arguments: { city: "Paris", state: "Texas" } });
found.prompt = weather.messages[0].content.text;
const about = await client.getPrompt({ name: "resource-prompt", arguments: { resourceType: "Text", resourceId: "2" } });
found.about = (await read(about.messages[1].content.resource.uri)).text;
const complete = async (name, value, context) => {
  const ref = { type: "ref/prompt", name: "completable-prompt" };
  return (await client.complete({ ref, argument: { name, value }, context })).completion.values;
};
found.department = await complete("department", "Eng");
found.name = await complete("name", "A", { arguments: { department: "Engineering" } });

found.elicited = text(await call("trigger-elicitation-request"));
found.sampled = text(await call("trigger-sampling-request", { prompt: "The capital of France?" }));
found.roots = text(await call("get-roots-list"));
found.logged = logged;
say("WALKED", found);

if (era === "auto") {
  // An admin switches a tool off meanwhile.
  await change;
  say("CHANGED", await names());
}
await client.close();
