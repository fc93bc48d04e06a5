// `node sdk-sse.mjs MCP_URL TOOL [ARGUMENTS]`, with the API key in API_KEY: the TypeScript SDK over the transport of 2024-11-05,
// which it keeps for servers that speak nothing later.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { SSEClientTransport } from "@modelcontextprotocol/sdk/client/sse.js";
import { say } from "./loopback.mjs";

const [url, tool, args = "{}"] = process.argv.slice(2);
const headers = { Authorization: `Bearer ${process.env.API_KEY}` };
const transport = new SSEClientTransport(new URL(url), { requestInit: { headers } });
const client = new Client({ name: "sdk-sse-test", version: "1.0.0" });
await client.connect(transport);
say("CONNECTED", { server: client.getServerVersion() });
const { tools } = await client.listTools();
say("TOOLS", tools.map((found) => ({ name: found.name, title: found.title, annotations: found.annotations })));
say("RESULT", await client.callTool({ name: tool, arguments: JSON.parse(args) }));
await client.close();
