// `node client-v2.mjs MCP_URL legacy|modern`, with a key in API_KEY: the TypeScript SDK of the second generation, in either era.
import { Client, StreamableHTTPClientTransport } from "@modelcontextprotocol/client";
import { answers, capabilities, target, walk } from "./walk.mjs";

const isModern = process.argv[3] === "modern";
const mode = isModern ? { pin: "2026-07-28" } : "legacy";
const client = new Client({ name: "sdk-v2-everything", version: "1.0.0" }, { capabilities, versionNegotiation: { mode } });
for (const [method, answer] of Object.entries(answers)) client.setRequestHandler(method, answer);
const logged = [];
client.setNotificationHandler("notifications/message", ({ params }) => void logged.push(params));
await client.connect(new StreamableHTTPClientTransport(...target));
if (!isModern && client.getServerCapabilities().logging) await client.setLoggingLevel("debug");
const _meta = isModern ? { "io.modelcontextprotocol/logLevel": "debug" } : undefined;
await walk(client, logged, {
  progress: (client, name, onprogress) => client.callTool({ name, arguments: {} }, { onprogress }),
  logging: (client, name) => client.callTool({ name, arguments: {}, _meta }),
});
