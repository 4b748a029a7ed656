"""A fixed 1 KB answer as fast as Python can give it: the model server of the load tests. Counts requests; ``/count`` tells."""

from __future__ import annotations

import asyncio
import sys

import uvloop

BODY = b'{"choices":[{"index":0,"message":{"role":"assistant","content":"' + b"x" * 900 + b'"},"finish_reason":"stop"}]}'
REPLY = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(BODY), BODY)


class Answers(asyncio.Protocol):
    count = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        self.buffer = b""

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = self.buffer[:end].lower()
            size = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0) if b"content-length:" in head else 0
            if len(self.buffer) < end + 4 + size:
                return
            self.buffer = self.buffer[end + 4 + size :]
            if head.startswith(b"get /count"):
                text = b"%d" % Answers.count
                self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(text), text))
            else:
                Answers.count += 1
                self.transport.write(REPLY)


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Answers, "127.0.0.1", int(sys.argv[1]), backlog=1024)
    await server.serve_forever()


uvloop.run(main())
