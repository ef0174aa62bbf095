"""Types into `dewpond sql` as somebody at a terminal does, and reads the screen.

Arguments: the binary, a directory for the history, how many events there are, and the arguments of the program.
"""

import fcntl
import os
import pty
import re
import select
import struct
import sys
import termios
import time

binary, home, events, arguments = sys.argv[1], sys.argv[2], sys.argv[3], sys.argv[4:]

ENDLESS = b"SELECT sum(a.value * b.value % 7) FROM generate_series(1, 1000000) a, generate_series(1, 10000000) b;\r"

# A prompt in a line of its own: while somebody types, it is drawn again and again in its line.
PROMPT = "\n\rdewpond> "

pid, terminal = pty.fork()
if pid == 0:
    os.environ.pop("VISUAL", None)
    os.environ.update(HOME=home, PAGER="cat", TERM="xterm", DEWPOND_LOG="error", EDITOR="sed -i s/1/2/")
    os.execv(binary, [binary, "sql", *arguments])
fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 120, 0, 0))

screen, begun = "", ""


def wait_for(what, seconds=60):
    """Reads until the screen has a text since it was last waited for, and returns what came before it."""
    global screen, begun
    ends = time.monotonic() + seconds
    while what not in screen:
        assert time.monotonic() < ends, f"{what!r} does not come: {screen[-2000:]!r}"
        if select.select([terminal], [], [], 0.2)[0]:
            read = begun + os.read(terminal, 65536).decode(errors="replace")
            # The beginning of a sequence whose end comes later.
            begun = re.search(r"(\x1b(\[[0-9;?]*)?)?$", read).group()
            screen += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", read[: len(read) - len(begun)])
    before, screen = screen.split(what, 1)
    return before


def write(keys):
    os.write(terminal, keys)


def answer(keys):
    """What comes after some keys, up to the next prompt, line by line."""
    write(keys)
    return [line.strip("\r") for line in wait_for(PROMPT).split("\n")]


wait_for("\\q ends.")
wait_for(PROMPT)

# Two lines, and a word that Tab completes.
lines = answer(b"SELECT count(*) AS n\rFROM ev\t;\r")
assert any(line.endswith("FROM events ;") for line in lines), lines
assert events in [line.strip() for line in lines], lines
assert any(line.startswith("(1 row, ") for line in lines), lines

# The tables, the columns of one, and one that is not there.
tables = [line.split()[0] for line in answer(b"\\d\r") if line.split()]
assert {"events", "sessions", "visitors", "reports"} <= set(tables), tables
columns = answer(b"\\d events\r")
assert any(re.match(r"occurred_at +timestamp with time zone +not null", line) for line in columns), columns
assert any("there is no table nowhere" in line for line in answer(b"\\d nowhere\r"))

# A mistake, and its place.
lines = answer(b"SELECT 1,\r  visiter_id FROM events;\r")
at = next(at for at, line in enumerate(lines) if "did you mean visitor_id" in line)
assert lines[at + 1 : at + 3] == ["  visiter_id FROM events", "  ^"], lines

# Ctrl-C ends the query and not the program, and what it took is free again.
write(ENDLESS)
wait_for("Ctrl-C ends the query")
write(b"\x03")
wait_for("cancelled after", 20)
wait_for(PROMPT)
assert "42" in [line.strip() for line in answer(b"SELECT 40 + 2 AS answer;\r")]

# The statement before, edited elsewhere.
answer(b"SELECT 111 AS n;\r")
write(b"\\e\r")
wait_for("dewpond> SELECT 211 AS n;")
assert "211" in [line.strip() for line in answer(b"\r")]

# History, and what is pasted is not sent line by line.
write(b"\x1b[A")
wait_for("dewpond> SELECT 211 AS n;")
answer(b"\x03")
lines = answer(b"\x1b[200~SELECT 5 AS a;\nSELECT 6 AS b;\x1b[201~\r")
assert [line for line in lines if line.strip() in ("5", "6")], lines
assert sum(line.startswith("(1 row, ") for line in lines) == 2, lines

write(b"\\q\r")
ends = time.monotonic() + 20
while True:
    ended, status = os.waitpid(pid, os.WNOHANG)
    if ended:
        assert status == 0, status
        break
    assert time.monotonic() < ends, "it does not end"
    time.sleep(0.1)
with open(os.path.join(home, ".dewpond_history")) as history:
    assert "SELECT 211 AS n;" in history.read()
print("well")
