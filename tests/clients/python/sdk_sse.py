"""`python sdk_sse.py MCP_URL TOOL [ARGUMENTS]`, with the API key in API_KEY: the Python SDK over the transport of 2024-11-05."""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.sse import sse_client


def say(kind, value):
    print(kind, json.dumps(value), flush=True)


def plain(value):
    return json.loads(value.model_dump_json(by_alias=True, exclude_none=True))


async def main():
    url, tool = sys.argv[1], sys.argv[2]
    arguments = json.loads(sys.argv[3]) if len(sys.argv) > 3 else {}
    headers = {"Authorization": f"Bearer {os.environ['API_KEY']}"}
    async with Client(sse_client(url, headers=headers)) as client:
        say("CONNECTED", {"server": plain(client.server_info) if client.server_info else None})
        tools = (await client.list_tools()).tools
        say("TOOLS", [{"name": t.name, "title": t.title, "annotations": plain(t.annotations) if t.annotations else None} for t in tools])
        say("RESULT", plain(await client.call_tool(tool, arguments)))


asyncio.run(main())
