"""Counts right answers by list: judge.py CORPUS NAME=ANSWERS…, where a line of ANSWERS is what NAME said of that line of CORPUS.

An answer is the kind of robot, browser, its version, app, system, its version, device, apart by tabs. Writes what was wrong
beside ANSWERS, to a file that ends in `.wrong`.
"""

import sys
from collections import Counter

asked, names, right = Counter(), [], {}
questions = [line.rstrip("\n").split("\t", 2) for line in open(sys.argv[1], encoding="utf-8")]
for corpus, expected, _ in questions:
    asked[corpus, expected.partition(":")[0]] += 1
for peer in sys.argv[2:]:
    name, _, path = peer.partition("=")
    names.append(name)
    right[name] = Counter()
    with open(path, encoding="utf-8") as answers, open(path + ".wrong", "w", encoding="utf-8") as wrong:
        for (corpus, expected, agent), answer in zip(questions, answers, strict=True):
            kind, browser, _, app, _, _, device = answer.rstrip("\n").split("\t")
            what, _, value = expected.partition(":")
            good = {
                "robot": kind != "",
                "person": kind == "",
                "browser": browser == value,
                "app": value.lower() in app.lower(),
                "device": device == value,
            }[what]
            right[name][corpus, what] += good
            if not good:
                print(corpus, expected, answer.rstrip("\n").replace("\t", "|"), agent, sep="\t", file=wrong)
# The sums of the packages' lists; those of our own test, which are named so, would prove nothing in them.
for what in ("robot", "person"):
    for counts in (asked, *right.values()):
        sums = (count for (of, to_be), count in list(counts.items()) if to_be == what and not of.startswith("named"))
        counts["all packages", what] = sum(sums)
print("| List | What | Agents |", " | ".join(names), "|")
print("|---|---|--:|" + "--:|" * len(names))
for (corpus, what), count in sorted(asked.items(), key=lambda item: (item[0][1], item[0][0])):
    # A reader that is never right does not tell this at all.
    share = lambda good: f"{100 * good / count:.2f} %" if good else ""
    shares = " | ".join(share(right[name][corpus, what]) for name in names)
    print(f"| {corpus} | {what} | {count} | {shares} |")
