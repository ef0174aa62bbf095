"""Stands before the brokers of a cluster: nobody gets through without TLS and a name and a password.

The brokers of librdkafka's tests know neither. What is read here follows Kafka's protocol guide (kafka.apache.org/protocol) and
RFC 5802 for SCRAM.
"""

import base64
import hashlib
import hmac
import os
import socket
import ssl
import struct
import threading

API_VERSIONS, SASL_HANDSHAKE, SASL_AUTHENTICATE = 18, 17, 36
AUTHENTICATION_FAILED = 58
ITERATIONS = 4096


class Scram:
    """One sign-in by SCRAM (RFC 5802), as the server."""

    def __init__(self, hash_name, user, password):
        self.hash_name, self.user, self.password = hash_name, user, password
        self.first = None

    def step(self, message):
        """The answer to a message, and whether it was the last one. None refuses."""
        fields = dict(part.split("=", 1) for part in message.decode().split(",") if "=" in part)
        if self.first is None:
            bare = message.decode().split(",", 2)[2]
            salt, nonce = os.urandom(16), fields["r"] + base64.b64encode(os.urandom(18)).decode()
            answer = f"r={nonce},s={base64.b64encode(salt).decode()},i={ITERATIONS}"
            self.first = (bare, answer, salt, nonce, fields["n"])
            return answer.encode(), False
        bare, answer, salt, nonce, user = self.first
        without_proof = message.decode().rsplit(",p=", 1)[0]
        signed = f"{bare},{answer},{without_proof}".encode()
        sign = lambda key, text: hmac.digest(key, text, self.hash_name)
        salted = hashlib.pbkdf2_hmac(self.hash_name, self.password.encode(), salt, ITERATIONS)
        client_key = sign(salted, b"Client Key")
        signature = sign(hashlib.new(self.hash_name, client_key).digest(), signed)
        proof = bytes(one ^ other for one, other in zip(client_key, signature))
        if user != self.user or fields["r"] != nonce or base64.b64decode(fields["p"]) != proof:
            return None, True
        return b"v=" + base64.b64encode(sign(sign(salted, b"Server Key"), signed)), True


class Plain:
    """One sign-in by PLAIN (RFC 4616), as the server."""

    def __init__(self, user, password):
        self.expected = f"\0{user}\0{password}".encode()

    def step(self, message):
        return (b"" if message == self.expected else None), True


def sign_in(mechanism, user, password):
    if mechanism == "PLAIN":
        return Plain(user, password)
    return Scram(mechanism.replace("SCRAM-", "").replace("-", "").lower(), user, password)


def read_exactly(connection, length):
    """So many bytes; None at the end."""
    read = b""
    while len(read) < length:
        part = connection.recv(length - len(read))
        if not part:
            return None
        read += part
    return read


def read_frame(connection):
    """The next message without its length; None at the end."""
    length = read_exactly(connection, 4)
    return length and read_exactly(connection, struct.unpack(">i", length)[0])


def send_frame(connection, frame):
    connection.sendall(struct.pack(">i", len(frame)) + frame)


def with_sasl(response, version):
    """An answer to ApiVersions that has the two requests of a sign-in as well."""
    own = [(SASL_HANDSHAKE, 1, 1), (SASL_AUTHENTICATE, 1, 1)]
    if version >= 3:
        entries = b"".join(struct.pack(">hhhB", *entry, 0) for entry in own)
        return response[:6] + bytes([response[6] + len(own)]) + entries + response[7:]
    count = struct.unpack(">i", response[6:10])[0]
    entries = b"".join(struct.pack(">hhh", *entry) for entry in own)
    return response[:6] + struct.pack(">i", count + len(own)) + entries + response[10:]


def text(value):
    return struct.pack(">h", len(value)) + value.encode()


class Guard:
    def __init__(self, brokers, context, mechanism, user, password):
        """Listens for each of the brokers (host, port)."""
        self.context, self.mechanism, self.user, self.password = context, mechanism, user, password
        self.ports = {}
        listeners = []
        for host, port in brokers:
            listener = socket.create_server((host, 0))
            self.ports[(host, port)] = listener.getsockname()[1]
            listeners.append(((host, port), listener))
        for broker, listener in listeners:
            threading.Thread(target=self.listen, args=(broker, listener), daemon=True).start()

    def addresses(self):
        return ",".join(f"{host}:{port}" for (host, _), port in self.ports.items())

    def listen(self, broker, listener):
        while True:
            connection, _ = listener.accept()
            threading.Thread(target=self.serve, args=(broker, connection), daemon=True).start()

    def serve(self, broker, connection):
        try:
            with self.context.wrap_socket(connection, server_side=True) as client:
                with socket.create_connection(broker) as server:
                    self.answer(client, server)
        except (OSError, ssl.SSLError):
            pass

    def answer(self, client, server):
        session, signed_in = None, False
        while (request := read_frame(client)) is not None:
            key, version, correlation, name = struct.unpack(">hhih", request[:10])
            body = request[10 + max(name, 0) :]
            head = struct.pack(">i", correlation)
            if key == SASL_HANDSHAKE:
                asked = body[2:].decode()
                error = 0 if asked == self.mechanism else 33
                session = sign_in(self.mechanism, self.user, self.password)
                send_frame(client, head + struct.pack(">hi", error, 1) + text(self.mechanism))
            elif key == SASL_AUTHENTICATE:
                answer, is_last = session.step(body[4:])
                if answer is None:
                    failure = text("wrong name or password")
                    send_frame(client, head + struct.pack(">h", AUTHENTICATION_FAILED) + failure + struct.pack(">iq", 0, 0))
                    return
                signed_in = is_last
                send_frame(client, head + struct.pack(">hhi", 0, -1, len(answer)) + answer + struct.pack(">q", 0))
            elif key == API_VERSIONS or signed_in:
                send_frame(server, request)
                response = read_frame(server)
                if key == API_VERSIONS and response[4:6] == b"\0\0":
                    response = with_sasl(response, version)
                # Clients go on to where the brokers say they are.
                for (host, port), own in self.ports.items():
                    response = response.replace(host.encode() + struct.pack(">i", port), host.encode() + struct.pack(">i", own))
                send_frame(client, response)
            else:
                return
