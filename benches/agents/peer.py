"""What PyPI's ua-parser says of user agents: peer.py < AGENTS > ANSWERS, in the columns of `cargo run -p intake --example agents`."""

import sys

from ua_parser import parse

from corpus_names import FAMILIES

for line in sys.stdin:
    found = parse(line.rstrip("\n"))
    family = found.user_agent.family if found.user_agent else ""
    robot = "other" if found.device and found.device.family == "Spider" else ""
    print(robot, FAMILIES.get(family, family), "", family, found.os.family if found.os else "", "", "", sep="\t")
