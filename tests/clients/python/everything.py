"""`python everything.py MCP_URL legacy|auto`, with a key in API_KEY: the Python SDK with a server that has everything.

Lists, reads, completes, and calls tools that report, log and ask; prints `WALKED` and what came of each step."""

import asyncio
import json
import os
import sys

from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import CreateMessageResult, ElicitResult, ListRootsResult, PromptReference, Root, TextContent


async def elicited(_context, _params):
    content = {"name": "Ada", "username": "ada", "email": "ada@example.org", "color": "blue"}
    return ElicitResult(action="accept", content=content)


async def sampled(_context, _params):
    return CreateMessageResult(role="assistant", model="a-model", content=TextContent(type="text", text="Paris"))


async def roots(_context):
    return ListRootsResult(roots=[Root(uri="file:///notes/ada", name="home")])


def text(result):
    return "".join(part.text for part in result.content)


async def main():
    url, mode = sys.argv[1], sys.argv[2]
    logged, progress = [], []

    async def log(params):
        logged.append(params.data)

    async def step(done, _total, _message):
        progress.append(done)

    key = os.environ.get("API_KEY")
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    answers = {"elicitation_callback": elicited, "sampling_callback": sampled, "list_roots_callback": roots}
    async with create_mcp_http_client(headers=headers) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, logging_callback=log, log_level="debug", **answers) as client:
            found = {"version": client.protocol_version}
            found["tools"] = [tool.name for tool in (await client.list_tools()).tools]
            found["simple"] = text(await client.call_tool("test_simple_text", {}))
            found["prompts"] = [prompt.name for prompt in (await client.list_prompts()).prompts]
            prompt = await client.get_prompt("test_prompt_with_arguments", {"arg1": "a", "arg2": "b"})
            found["prompt"] = prompt.messages[0].content.text
            found["resources"] = [str(resource.uri) for resource in (await client.list_resources()).resources]
            templates = (await client.list_resource_templates()).resource_templates
            found["templates"] = [template.uri_template for template in templates]
            found["read"] = (await client.read_resource("test://static-text")).contents[0].text
            found["made"] = json.loads((await client.read_resource("test://template/7/data")).contents[0].text)["id"]
            reference = PromptReference(type="ref/prompt", name="test_prompt_with_arguments")
            completion = await client.complete(reference, {"name": "arg1", "value": "par"})
            found["completed"] = completion.completion.values
            await client.call_tool("test_tool_with_progress", {}, progress_callback=step)
            found["progress"] = progress
            await client.call_tool("test_tool_with_logging", {})
            found["logged"] = logged
            found["elicited"] = text(await client.call_tool("test_elicitation", {"message": "Who are you?"}))
            found["sampled"] = text(await client.call_tool("test_sampling", {"prompt": "The capital of France?"}))
            found["several"] = text(await client.call_tool("test_input_required_result_multi_round", {}))
            found["kinds"] = text(await client.call_tool("test_input_required_result_multiple_inputs", {}))
            print("WALKED", json.dumps(found), flush=True)


asyncio.run(main())
