// `node mcp-remote.mjs MCP_URL TOOL [ARGUMENTS]`, with the API key in API_KEY: drives `mcp-remote` over standard input and
// output, as a desktop program that knows local servers only does.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { say } from "./loopback.mjs";

const [url, tool, args = "{}"] = process.argv.slice(2);
const root = dirname(createRequire(import.meta.url).resolve("mcp-remote/package.json"));
const transport = new StdioClientTransport({
  command: process.execPath,
  args: [join(root, "dist/proxy.js"), url, "--allow-http", "--transport", process.env.TRANSPORT ?? "http-only", "--header", "Authorization:${AUTH_HEADER}"],
  env: { ...process.env, AUTH_HEADER: `Bearer ${process.env.API_KEY}` },
  stderr: "inherit",
});
const client = new Client({ name: "mcp-remote-test", version: "1.0.0" });
await client.connect(transport);
say("CONNECTED", { server: client.getServerVersion() });
const { tools } = await client.listTools();
say("TOOLS", tools.map((found) => ({ name: found.name, title: found.title, annotations: found.annotations })));
say("RESULT", await client.callTool({ name: tool, arguments: JSON.parse(args) }));
await client.close();
