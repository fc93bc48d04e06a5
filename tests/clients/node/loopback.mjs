// What the scripts share: the listener that a browser comes back to, and how results are printed.
import { createServer } from "node:http";
import { randomUUID } from "node:crypto";

/** Prints one line that the tests read. */
export function say(kind, value) {
  process.stdout.write(`${kind} ${typeof value === "string" ? value : JSON.stringify(value)}\n`);
}

/** Listens on a free loopback port for the requests that bring codes. */
export async function listen() {
  const [came, waiting] = [[], []];
  const arrive = (params) => (waiting.length > 0 ? waiting.shift()(params) : came.push(params));
  const server = createServer((request, response) => {
    const url = new URL(request.url, "http://localhost");
    if (url.pathname !== "/callback") {
      response.writeHead(404).end();
      return;
    }
    response.writeHead(200, { "content-type": "text/html" }).end("<!doctype html><title>Done</title><h1>You can close this window</h1>");
    arrive(url.searchParams);
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    redirect: `http://localhost:${server.address().port}/callback`,
    next: () => (came.length > 0 ? Promise.resolve(came.shift()) : new Promise((resolve) => waiting.push(resolve))),
    close: () => new Promise((resolve) => { server.close(resolve); server.closeAllConnections(); }),
  };
}

/** An OAuth client provider that keeps everything in memory and prints where the browser has to go. */
export class Provider {
  #redirect;
  #client;
  #tokens;
  #verifier;
  #discovery;
  #redirected = false;
  expectedState = randomUUID();

  constructor(redirect) {
    this.#redirect = redirect;
  }

  get redirectUrl() {
    return this.#redirect;
  }

  /** Where a document says who the client is, for authorization servers that read those. */
  get clientMetadataUrl() {
    return process.env.CLIENT_METADATA_URL;
  }

  get clientMetadata() {
    return {
      client_name: "TypeScript SDK test",
      redirect_uris: [this.#redirect],
      grant_types: ["authorization_code", "refresh_token"],
      response_types: ["code"],
      token_endpoint_auth_method: "none",
    };
  }

  state() {
    return this.expectedState;
  }

  clientInformation() {
    return this.#client;
  }

  saveClientInformation(client) {
    this.#client = client;
  }

  tokens() {
    return this.#tokens;
  }

  saveTokens(tokens) {
    this.#tokens = tokens;
  }

  redirectToAuthorization(url) {
    say(this.#redirected ? "AGAIN" : "AUTHORIZE", url.toString());
    this.#redirected = true;
  }

  invalidateCredentials(scope) {
    if (scope === "all" || scope === "tokens") this.#tokens = undefined;
    if (scope === "all" || scope === "client") this.#client = undefined;
  }

  saveCodeVerifier(verifier) {
    this.#verifier = verifier;
  }

  codeVerifier() {
    return this.#verifier;
  }

  saveDiscoveryState(state) {
    this.#discovery = state;
  }

  discoveryState() {
    return this.#discovery;
  }
}

/** Gives the refresh token back (RFC 7009), and all that was granted with it. */
async function giveBack(url, provider) {
  const metadata = await (await fetch(new URL("/.well-known/oauth-authorization-server", url))).json();
  const body = new URLSearchParams({ token: provider.tokens().refresh_token, client_id: provider.clientInformation().client_id });
  const answer = await fetch(metadata.revocation_endpoint, { method: "POST", body });
  if (!answer.ok) throw new Error(`giving back was answered ${answer.status}`);
}

/**
 * Logs in, lists, calls, refreshes and calls again: the same steps for both SDKs. With GIVES_BACK set, what was granted is given
 * back then, and a person asked `AGAIN`.
 * `sdk` is `{ Client, StreamableHTTPClientTransport, UnauthorizedError, finish(transport, params) }`.
 */
export async function run(sdk) {
  const [url, tool, args = "{}"] = process.argv.slice(2);
  const back = await listen();
  const provider = new Provider(back.redirect);
  /** Takes the code that a person's browser brings. */
  const returned = async (transport) => {
    const params = await back.next();
    if (params.get("state") !== provider.expectedState) throw new Error("another state came back");
    if (params.get("error")) throw new Error(`refused: ${params.get("error")}`);
    say("RETURNED", Object.fromEntries(params));
    await sdk.finish(transport, params);
  };
  let transport;
  const connect = async () => {
    transport = new sdk.StreamableHTTPClientTransport(new URL(url), { authProvider: provider });
    const client = new sdk.Client({ name: sdk.name, version: "1.0.0" });
    try {
      await client.connect(transport);
      return client;
    } catch (error) {
      if (!(error instanceof sdk.UnauthorizedError)) throw error;
      await returned(transport);
      await client.close().catch(() => {});
      return undefined;
    }
  };
  let client = await connect();
  const askedFirst = client === undefined;
  client ??= await connect();
  say("CONNECTED", { askedFirst, server: client.getServerVersion(), scope: provider.tokens()?.scope });
  const { tools } = await client.listTools();
  say("TOOLS", tools.map((found) => ({ name: found.name, title: found.title, annotations: found.annotations })));
  say("RESULT", await client.callTool({ name: tool, arguments: JSON.parse(args) }));

  // An access token that is no good any more makes the SDK use the refresh token, without a person.
  provider.saveTokens({ ...provider.tokens(), access_token: "worn-out" });
  say("REFRESHED", await client.callTool({ name: tool, arguments: JSON.parse(args) }));

  if (process.env.GIVES_BACK) {
    await giveBack(url, provider);
    // The node of the next call may not have heard of it yet.
    for (let tries = 0; tries < 100; tries += 1) {
      try {
        await client.callTool({ name: tool, arguments: JSON.parse(args) });
      } catch (error) {
        if (!(error instanceof sdk.UnauthorizedError)) throw error;
        break;
      }
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    await returned(transport);
    say("ALLOWED", await client.callTool({ name: tool, arguments: JSON.parse(args) }));
  }
  await client.close();
  await back.close();
}
