// `node sdk-v1.mjs MCP_URL TOOL [ARGUMENTS]`: the TypeScript SDK of the first generation, `@modelcontextprotocol/sdk`.
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { UnauthorizedError } from "@modelcontextprotocol/sdk/client/auth.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";
import { run } from "./loopback.mjs";

await run({
  name: "sdk-v1-test",
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  finish: (transport, params) => transport.finishAuth(params.get("code")),
});
