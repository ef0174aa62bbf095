"""Counts the sources of a list that get the channel of their category: judge_sources.py LIST CHANNELS."""

import sys

named = referred = hosts = every = 0
for line, answer in zip(open(sys.argv[1]), open(sys.argv[2]), strict=True):
    category, source = line.rstrip("\n").split("\t")
    campaign, referrer = answer.rstrip("\n").split("\t")
    expected = f"Organic {category.capitalize()}"
    every += 1
    named += campaign == expected
    if "." in source:
        hosts += 1
        referred += referrer == expected
print(f"\n| Sources | Right |\n|---|--:|\n| as utm_source, {every} | {100 * named / every:.1f} % |")
print(f"| hosts as a referrer, {hosts} | {100 * referred / hosts:.1f} % |")
