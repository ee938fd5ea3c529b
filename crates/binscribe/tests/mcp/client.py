"""Asks an MCP server as an assistant would, with the protocol's own client.

    client.py QUESTIONS.json PROGRAM ARGUMENT...

QUESTIONS is a list of [tool, arguments]. Prints what the server says of itself, its
tools, and the results, as JSON.
"""

import asyncio
import json
import sys

from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client


async def main():
    questions, program, *arguments = sys.argv[1:]
    with open(questions) as file:
        questions = json.load(file)
    server = StdioServerParameters(command=program, args=arguments, env=None)
    async with stdio_client(server) as (read, write), ClientSession(read, write) as session:
        hello = await session.initialize()
        tools = await session.list_tools()
        results = [await session.call_tool(tool, words) for tool, words in questions]
    dump = lambda model: model.model_dump(mode="json", by_alias=True)
    print(json.dumps({"hello": dump(hello), "tools": dump(tools)["tools"], "results": [dump(r) for r in results]}))


asyncio.run(main())
