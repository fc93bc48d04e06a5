"""`python sdk.py MCP_URL TOOL [ARGUMENTS]`: the Python SDK, `mcp`: logs in, lists, calls, refreshes and calls again.

With GIVES_BACK set, what was granted is given back then, and a person asked AGAIN."""

import asyncio
import json
import os
import sys
from urllib.parse import parse_qs, urlsplit

from mcp import Client
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.shared.auth import OAuthClientMetadata


def say(kind, value):
    print(kind, value if isinstance(value, str) else json.dumps(value), flush=True)


class Storage:
    """Keeps tokens and registration in memory."""

    def __init__(self):
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Loopback:
    """Listens on a free loopback port for the one request that brings the code."""

    async def start(self):
        self.arrived = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.answer, "127.0.0.1", 0)
        port = self.server.sockets[0].getsockname()[1]
        return f"http://localhost:{port}/callback"

    async def answer(self, reader, writer):
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        target = urlsplit(line.split(" ")[1])
        found = target.path == "/callback"
        page = b"<!doctype html><title>Done</title><h1>You can close this window</h1>" if found else b""
        status = b"200 OK" if found else b"404 Not Found"
        head = b"HTTP/1.1 %s\r\ncontent-type: text/html\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % (status, len(page))
        writer.write(head + page)
        await writer.drain()
        writer.close()
        if found and not self.arrived.done():
            self.arrived.set_result({name: values[0] for name, values in parse_qs(target.query).items()})

    async def code(self):
        params = await self.arrived
        self.arrived = asyncio.get_running_loop().create_future()
        say("RETURNED", params)
        if "error" in params:
            raise RuntimeError(f"refused: {params['error']}")
        return AuthorizationCodeResult(code=params["code"], state=params.get("state"), iss=params.get("iss"))


async def redirect(url):
    say("AUTHORIZE", url)


async def again(url):
    say("AGAIN", url)


async def give_back(url, provider):
    """Gives the refresh token back (RFC 7009), and all that was granted with it."""
    origin = "{0.scheme}://{0.netloc}".format(urlsplit(url))
    async with create_mcp_http_client() as http:
        metadata = (await http.get(f"{origin}/.well-known/oauth-authorization-server")).json()
        form = {"token": provider.context.current_tokens.refresh_token, "client_id": provider.context.client_info.client_id}
        (await http.post(metadata["revocation_endpoint"], data=form)).raise_for_status()


async def nobody(_url):
    raise RuntimeError("a person was asked again")


def plain(value):
    return json.loads(value.model_dump_json(by_alias=True, exclude_none=True))


async def main():
    url, tool = sys.argv[1], sys.argv[2]
    arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    loopback, storage = Loopback(), Storage()
    metadata = OAuthClientMetadata(
        client_name="Python SDK test",
        redirect_uris=[await loopback.start()],
        grant_types=["authorization_code", "refresh_token"],
        response_types=["code"],
        token_endpoint_auth_method="none",
    )
    provider = OAuthClientProvider(
        server_url=url,
        client_metadata=metadata,
        storage=storage,
        redirect_handler=redirect,
        callback_handler=loopback.code,
        # Where a document says who the client is, for authorization servers that read those.
        client_metadata_url=os.environ.get("CLIENT_METADATA_URL"),
    )
    async with create_mcp_http_client(auth=provider) as http:
        async with Client(streamable_http_client(url, http_client=http)) as client:
            say("CONNECTED", {"askedFirst": True, "server": plain(client.server_info) if client.server_info else None})
            tools = (await client.list_tools()).tools
            say("TOOLS", [{"name": t.name, "title": t.title, "annotations": plain(t.annotations) if t.annotations else None} for t in tools])
            say("RESULT", plain(await client.call_tool(tool, arguments)))

            # An access token whose time is over makes the SDK use the refresh token, without a person.
            provider.context.token_expiry_time = 1.0
            provider.context.redirect_handler = nobody
            say("REFRESHED", plain(await client.call_tool(tool, arguments)))

            if os.environ.get("GIVES_BACK"):
                asked = asyncio.Event()

                async def noted(url):
                    asked.set()
                    await again(url)

                provider.context.redirect_handler = noted
                await give_back(url, provider)
                # The node of the next call may not have heard of it yet.
                while not asked.is_set():
                    result = await client.call_tool(tool, arguments)
                    await asyncio.sleep(0.1)
                say("ALLOWED", plain(result))


asyncio.run(main())
