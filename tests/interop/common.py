"""What all scripts share: the settings that the driver passes, and named checks."""

import asyncio
import json
import os
import sys
import traceback

CHECK_SECONDS = 60


class Failure(Exception):
    """A check did not hold; the text says what was expected and what came instead."""


class Settings:
    """Where the server is and who has an account, from LONGWIRE_INTEROP (JSON)."""

    def __init__(self):
        values = json.loads(os.environ["LONGWIRE_INTEROP"])
        self.host = values["host"]
        self.domain = values["domain"]
        self.certificates = values["certificates"]
        self.ports = values["ports"]
        self.accounts = values["accounts"]
        self.send_command = values.get("send_command")
        self.chat_command = values.get("chat_command")

    def jid(self, name):
        return f"{name}@{self.domain}"

    def password(self, name):
        return self.accounts[name]


def expect(condition, text):
    if not condition:
        raise Failure(text)


def run(checks):
    """Runs (name, async function) pairs in order; the exit code is 1 when one fails.

    Names on the command line select checks by substring.
    """
    settings = Settings()
    wanted = sys.argv[1:]
    failed = 0
    for name, check in checks:
        if wanted and not any(part in name for part in wanted):
            continue
        try:
            asyncio.run(asyncio.wait_for(check(settings), CHECK_SECONDS))
            print(f"ok      {name}", flush=True)
        except Exception as error:  # every failure is reported, whatever its kind
            failed += 1
            print(f"FAILED  {name}: {type(error).__name__}: {error}", flush=True)
            if not isinstance(error, Failure):
                traceback.print_exc()
    sys.exit(1 if failed else 0)
