"""`python server.py sessions|stateless|json|sse PORT`: a server on FastMCP, of the Python SDK's first generation.

It offers what can be said in that manner: questions to the client need a session and a stream, and so does what is said on the
way to an answer. The names are those of the other servers with everything."""

import asyncio
import json
import sys

from mcp.server.fastmcp import Context, FastMCP
from mcp.types import Completion, ResourceLink, SamplingMessage, TextContent
from pydantic import BaseModel

manner, port = sys.argv[1], int(sys.argv[2])
server = FastMCP(
    "everything-python",
    instructions="Everything that FastMCP has, for tests.",
    host="127.0.0.1",
    port=port,
    log_level="WARNING",
    stateless_http=manner == "stateless",
    json_response=manner == "json",
)


class Person(BaseModel):
    username: str
    email: str


@server.tool()
def test_simple_text() -> str:
    return "This is a simple text response for testing."


@server.tool()
def test_resource_links() -> list[ResourceLink]:
    return [ResourceLink(type="resource_link", uri="test://template/7/data", name="seventh")]


@server.resource("test://static-text")
def static_text() -> str:
    return "This is the content of the static text resource."


@server.resource("test://template/{id}/data")
def of_template(id: str) -> str:
    return json.dumps({"id": id})


@server.prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@server.completion()
async def complete(_reference, argument, _context):
    return Completion(values=[word for word in ["paris", "park", "party"] if word.startswith(argument.value)])


if manner != "json":

    @server.tool()
    async def test_tool_with_progress(ctx: Context) -> str:
        for done in [0, 50, 100]:
            await ctx.report_progress(done, 100)
            await asyncio.sleep(0.05)
        return "Went all the way."

    @server.tool()
    async def test_tool_with_logging(ctx: Context) -> str:
        for said in ["Tool execution started", "Tool processing data", "Tool execution completed"]:
            await ctx.info(said)
        return "Logged three times."


if manner in ["sessions", "sse"]:

    @server.tool()
    async def test_elicitation(message: str, ctx: Context) -> str:
        answer = await ctx.elicit(message, Person)
        return f"User response: {answer.action} {answer.data.email}"

    @server.tool()
    async def test_sampling(prompt: str, ctx: Context) -> str:
        asked = SamplingMessage(role="user", content=TextContent(type="text", text=prompt))
        # Said where the call is answered, as questions to a client are to be.
        answer = await ctx.session.create_message([asked], max_tokens=100, related_request_id=ctx.request_id)
        return f"LLM response: {answer.content.text}"


server.run(transport="sse" if manner == "sse" else "streamable-http")
