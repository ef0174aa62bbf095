"""Gathers user agents with what is known of them, from public packages.

    corpus.py NODE_MODULES PYTHON_PACKAGES UAP_CORE CRAWLERDETECT RECOGNITION

RECOGNITION holds the tables of this project's own test. Prints one agent a line: list, what it is, and the agent, apart by tabs. Lists of robots have `robot`, or a robot's kind;
lists of people have `person`; the others have the browser or the device that the package's own test expects.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import yaml

from corpus_names import FAMILIES, MATOMO

node, python, uap_core, crawlerdetect, recognition = map(Path, sys.argv[1:6])


def load(text):
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def tell(corpus, expected, agents):
    for agent in agents:
        agent = " ".join(str(agent).split())
        if agent:
            print(corpus, expected, agent, sep="\t")


def lines(path):
    return path.read_text(encoding="utf-8", errors="replace").splitlines()


def of_node(expression):
    answer = subprocess.run(["node", "-p", f"JSON.stringify({expression})"], cwd=node.parent, check=True, capture_output=True)
    return json.loads(answer.stdout)


for line in lines(recognition / "robots.tsv"):
    if not line.startswith("#"):
        kind, _, agent = line.split("\t")
        tell("named " + kind, "robot", [agent])
for line in lines(recognition / "apps.tsv"):
    if not line.startswith("#"):
        app, _, agent = line.split("\t")
        tell("named apps", "app:" + app, [agent])

for robot in json.loads((node / "crawler-user-agents/crawler-user-agents.json").read_text()):
    kinds = [tag for tag in robot.get("tags", [])]
    tell("crawler-user-agents", "robot:" + ",".join(kinds), robot["instances"])
tell("crawlerdetect", "robot", lines(crawlerdetect / "tests/fixtures/user_agent/crawlers.txt"))

fixtures = python / "device_detector/tests/fixtures/upstream"
tell("matomo-bots", "robot", [case["user_agent"] for case in load((fixtures / "bots.yml").read_text())])

devices = load((uap_core / "tests/test_device.yaml").read_text())["test_cases"]
tell("uap-core-spiders", "robot", [case["user_agent_string"] for case in devices if case["family"] == "Spider"])

tell("top-user-agents", "person", of_node("require('top-user-agents')"))
tell("user-agents", "person", of_node("[...new Set(Array.from({length:10000},()=>new (require('user-agents'))().toString()))]"))
tell("crawlerdetect-devices", "person", lines(crawlerdetect / "tests/fixtures/user_agent/devices.txt")[::10])

for case in load((uap_core / "tests/test_ua.yaml").read_text())["test_cases"]:
    if case["family"] in FAMILIES:
        tell("uap-core", "browser:" + FAMILIES[case["family"]], [case["user_agent_string"]])
for path in sorted(fixtures.glob("*.yml")):
    name = re.sub(r"-\d+$", "", path.stem)
    if name in ("bots", "unknown"):
        continue
    for case in load(path.read_text(encoding="utf-8")):
        if "headers" in case:
            continue
        client, device = case.get("client") or {}, case.get("device") or {}
        agent = case["user_agent"]
        if client.get("type") == "browser":
            tell("matomo-people", "person", [agent])
            if client["name"] in MATOMO:
                tell("matomo", "browser:" + MATOMO[client["name"]], [agent])
        kind = device.get("type")
        if name in ("tv", "console", "wearable", "desktop", "smartphone", "tablet"):
            tell("matomo-" + name, "device:" + {"smartphone": "mobile"}.get(name, name), [agent])
