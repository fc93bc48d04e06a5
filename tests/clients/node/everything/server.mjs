// `node server.mjs both|legacy|modern`: a server with everything the protocol has, on the TypeScript SDK, for the eras named. It
// prints `LISTENING http://…/mcp` and ends with its standard input.
import { randomUUID } from "node:crypto";
import { createServer } from "node:http";
import { localhostHostValidation, localhostOriginValidation, NodeStreamableHTTPServerTransport, toNodeHandler } from "@modelcontextprotocol/node";
import { classifyInboundRequest, createMcpHandler, createRequestStateCodec, isInitializeRequest, McpServer } from "@modelcontextprotocol/server";
import { completions, prompts, resources } from "./context.mjs";
import { tools } from "./tools.mjs";

const eras = process.argv[2] ?? "both";
const seal = createRequestStateCodec({ key: crypto.getRandomValues(new Uint8Array(32)) });
/** By session id: the transport and the server of a client of the older era. */
const sessions = new Map();

const changes = {
  tools: () => {
    modern.notify.toolsChanged();
    for (const { server } of sessions.values()) server.sendToolListChanged();
  },
  prompts: () => {
    modern.notify.promptsChanged();
    for (const { server } of sessions.values()) server.sendPromptListChanged();
  },
};

function everything() {
  const server = new McpServer(
    { name: "everything-typescript", version: "1.0.0" },
    {
      capabilities: {
        tools: { listChanged: true },
        resources: { subscribe: true, listChanged: true },
        prompts: { listChanged: true },
        logging: {},
        completions: {},
      },
      instructions: "Everything the protocol has, for tests.",
      requestState: { verify: seal.verify },
    },
  );
  tools(server, seal, changes);
  prompts(server);
  resources(server);
  completions(server);
  return server;
}

const modern = createMcpHandler(everything, { legacy: "reject", onerror: (error) => console.error("modern:", error.message) });
const answerModern = toNodeHandler(modern);

async function answerLegacy(request, response, body) {
  const id = request.headers["mcp-session-id"];
  const session = id === undefined ? undefined : sessions.get(id);
  if (session) return session.transport.handleRequest(request, response, body);
  if (id !== undefined || !isInitializeRequest(body)) {
    const [status, message] = id === undefined ? [400, "Bad Request: Session ID required"] : [404, "Session not found"];
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify({ jsonrpc: "2.0", id: body?.id ?? null, error: { code: -32600, message } }));
    return;
  }
  const server = everything();
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: () => randomUUID(),
    onsessioninitialized: (id) => sessions.set(id, { server, transport }),
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  await server.connect(transport);
  await transport.handleRequest(request, response, body);
}

async function bodyOf(request) {
  let text = "";
  for await (const chunk of request.setEncoding("utf8")) text += chunk;
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function isModern(request, body) {
  if (eras !== "both") return eras === "modern";
  const header = (name) => request.headers[name];
  const kind = classifyInboundRequest({
    httpMethod: request.method,
    protocolVersionHeader: header("mcp-protocol-version"),
    mcpMethodHeader: header("mcp-method"),
    body,
  }).kind;
  return kind !== "legacy";
}

const isOurHost = localhostHostValidation();
const isOurOrigin = localhostOriginValidation();
const http = createServer(async (request, response) => {
  try {
    if (!isOurHost(request, response) || !isOurOrigin(request, response)) return;
    const body = request.method === "POST" ? await bodyOf(request) : undefined;
    // GET and DELETE are of sessions, and sessions of the older era.
    const toModern = request.method === "POST" ? isModern(request, body) : eras === "modern";
    await (toModern ? answerModern : answerLegacy)(request, response, body);
  } catch (error) {
    console.error("failed:", error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
});
http.listen(0, "127.0.0.1", () => console.log(`LISTENING http://localhost:${http.address().port}/mcp`));
