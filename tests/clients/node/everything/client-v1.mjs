// `node client-v1.mjs MCP_URL`, with a key in API_KEY: the TypeScript SDK of the first generation, which begins with `initialize`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
  LoggingMessageNotificationSchema,
} from "@modelcontextprotocol/sdk/types.js";
import { answers, capabilities, target, walk } from "./walk.mjs";

const client = new Client({ name: "sdk-v1-everything", version: "1.0.0" }, { capabilities });
client.setRequestHandler(ElicitRequestSchema, answers["elicitation/create"]);
client.setRequestHandler(CreateMessageRequestSchema, answers["sampling/createMessage"]);
client.setRequestHandler(ListRootsRequestSchema, answers["roots/list"]);
const logged = [];
client.setNotificationHandler(LoggingMessageNotificationSchema, ({ params }) => void logged.push(params));
await client.connect(new StreamableHTTPClientTransport(...target));
if (client.getServerCapabilities().logging) await client.setLoggingLevel("debug");
await walk(client, logged, {
  progress: (client, name, onprogress) => client.callTool({ name, arguments: {} }, undefined, { onprogress }),
  logging: (client, name) => client.callTool({ name, arguments: {} }),
});
