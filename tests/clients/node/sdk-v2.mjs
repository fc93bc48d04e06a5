// `node sdk-v2.mjs MCP_URL TOOL [ARGUMENTS]`: the TypeScript SDK of the second generation, `@modelcontextprotocol/client`.
// It checks the issuer that comes back with the code (RFC 9207).
import { Client, StreamableHTTPClientTransport, UnauthorizedError } from "@modelcontextprotocol/client";
import { run } from "./loopback.mjs";

await run({
  name: "sdk-v2-test",
  Client,
  StreamableHTTPClientTransport,
  UnauthorizedError,
  finish: (transport, params) => transport.finishAuth(params),
});
