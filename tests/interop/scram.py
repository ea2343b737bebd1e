"""SCRAM-SHA-256 and PLAIN, the client's side, written from RFC 5802, RFC 7677 and RFC 4616."""

import base64
import hashlib
import hmac
import os

from common import expect


class Plain:
    name = "PLAIN"

    def __init__(self, user, password):
        self._message = b"\0" + user.encode() + b"\0" + password.encode()

    def first(self):
        return self._message

    def respond(self, challenge):
        raise AssertionError("PLAIN has no challenge")

    def verify(self, additional):
        expect(additional in (None, b""), "PLAIN success carries no additional data")


class ScramSha256:
    name = "SCRAM-SHA-256"

    def __init__(self, user, password):
        self._password = password.encode()
        self._nonce = base64.b64encode(os.urandom(18)).decode()
        escaped = user.replace("=", "=3D").replace(",", "=2C")
        self._first_bare = f"n={escaped},r={self._nonce}"
        self._server_signature = None

    def first(self):
        return ("n,," + self._first_bare).encode()

    def respond(self, challenge):
        text = challenge.decode()
        fields = dict(part.split("=", 1) for part in text.split(","))
        expect(fields["r"].startswith(self._nonce), "the server kept the client's nonce")
        expect(len(fields["r"]) > len(self._nonce), "the server added its own nonce")
        rounds = int(fields["i"])
        expect(rounds >= 4096, f"at least 4096 rounds, not {rounds}")
        salted = hashlib.pbkdf2_hmac(
            "sha256", self._password, base64.b64decode(fields["s"]), rounds
        )
        without_proof = "c=" + base64.b64encode(b"n,,").decode() + ",r=" + fields["r"]
        signed = ",".join((self._first_bare, text, without_proof)).encode()
        client_key = _hmac(salted, b"Client Key")
        signature = _hmac(hashlib.sha256(client_key).digest(), signed)
        proof = bytes(a ^ b for a, b in zip(client_key, signature))
        self._server_signature = _hmac(_hmac(salted, b"Server Key"), signed)
        return (without_proof + ",p=" + base64.b64encode(proof).decode()).encode()

    def verify(self, additional):
        expected = b"v=" + base64.b64encode(self._server_signature)
        expect(additional == expected, "the server proved that it knows the password's keys")


def _hmac(key, message):
    return hmac.new(key, message, hashlib.sha256).digest()
