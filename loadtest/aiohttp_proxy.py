"""What a good Python programmer writes in an afternoon: an aiohttp server and client, and a task per mirrored copy."""

from __future__ import annotations

import asyncio
import sys

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web


async def main(port: int, primary: str, candidate: str | None) -> None:
    session = ClientSession(connector=TCPConnector(limit=0), timeout=ClientTimeout(total=None), auto_decompress=False)
    copies: set[asyncio.Task[None]] = set()

    async def mirror(request: web.Request, body: bytes) -> None:
        async with session.request(request.method, f"{candidate}{request.rel_url}", data=body, headers=headers(request)) as reply:
            await reply.read()

    def headers(request: web.Request) -> dict[str, str]:
        return {name: value for name, value in request.headers.items() if name.lower() not in ("host", "content-length", "connection")}

    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if candidate:
            task = asyncio.create_task(mirror(request, body))
            copies.add(task)
            task.add_done_callback(copies.discard)
        async with session.request(request.method, f"{primary}{request.rel_url}", data=body, headers=headers(request)) as reply:
            out = web.StreamResponse(status=reply.status, headers={"content-type": reply.headers["content-type"]})
            out.content_length = reply.content_length
            await out.prepare(request)
            async for piece in reply.content.iter_any():
                await out.write(piece)
            return out

    app = web.Application(client_max_size=2**30)
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


uvloop.run(main(int(sys.argv[1]), sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None))
