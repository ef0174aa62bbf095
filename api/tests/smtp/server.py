"""A mail server on this machine, of the package aiosmtpd: takes mails and writes each into a file of a directory.

    server.py DIRECTORY [--login USER:PASSWORD]

Says its port on a line of its own. An address tells what becomes of a mail to it: `full@…` is put off, `gone@…` is refused,
`cut@…` is taken and the connection broken before that is said.
"""

import argparse
import asyncio
import pathlib

from aiosmtpd.smtp import SMTP, AuthResult


class Box:
    def __init__(self, directory):
        self.directory, self.number = directory, 0

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("full@"):
            return "452 4.2.2 the box is full"
        if address.startswith("gone@"):
            return "550 5.1.1 there is no such box"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        self.number += 1
        # Written beside and moved, so that whoever looks sees whole mails.
        part = self.directory / f".{self.number}"
        part.write_bytes(b"X-To: " + envelope.rcpt_tos[0].encode() + b"\n" + envelope.content)
        part.rename(self.directory / f"{self.number:04}.eml")
        if envelope.rcpt_tos[0].startswith("cut@"):
            server.transport.abort()
        return "250 OK"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=pathlib.Path)
    parser.add_argument("--login")
    flags = parser.parse_args()

    def authenticate(server, session, envelope, mechanism, data):
        said = f"{data.login.decode()}:{data.password.decode()}" if data else ""
        # A refusal is for the server to say.
        return AuthResult(success=said == flags.login, handled=False)

    more = {"auth_required": True, "auth_require_tls": False, "authenticator": authenticate} if flags.login else {}
    box = Box(flags.directory)

    async def serve():
        server = await asyncio.get_running_loop().create_server(lambda: SMTP(box, **more), "127.0.0.1", 0)
        print(server.sockets[0].getsockname()[1], flush=True)
        await server.serve_forever()

    asyncio.run(serve())


main()
