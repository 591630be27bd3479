# ruff: noqa: T201 - as it is printed
"""The Python client that the document of S4 prints. What it leaves open comes as HOST TOKEN SESSION APPLICATION."""

import asyncio
import json
import sys

import websockets

HOST, TOKEN, SESSION, APPLICATION = sys.argv[1:]


async def chat_client():
    session_id = SESSION
    token = TOKEN
    uri = f"ws://{HOST}/ws/chat/{session_id}?token={token}"
    async with websockets.connect(uri) as ws:
        # Wait for connection confirmation
        response = await ws.recv()
        data = json.loads(response)
        print(f"Connected: {data}")
        # Send a message
        await ws.send(json.dumps({"type": "chat", "content": "Summarize the Q4 report", "application_id": APPLICATION}))
        # Receive streamed response
        full_response = ""
        async for message in ws:
            data = json.loads(message)
            if data["type"] == "text-delta":
                full_response += data["text"]
                print(data["text"], end="", flush=True)
            elif data["type"] == "response_end":
                print(f"\n\nTokens used: {data['tokens_used']}")
                break
            elif data["type"] == "error":
                print(f"Error: {data['message']}")
                break


asyncio.run(chat_client())
