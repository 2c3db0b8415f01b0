"""Reads the output of the suites and says what came of each: report.py LOGS VERSION FILE|- NAME=STATUS=SECONDS...

With - it prints a line for each, else it writes the file. It fails if a suite failed, if any of its tests failed or was left out, or if no test can be found in its output.
"""
import datetime
import os
import re
import sys

TITLES = {
    "h2spec-codec": "h2spec 2.2.1 with its strict cases, against the codec of HTTP/2",
    "h2spec-proxy": "h2spec 2.2.1 with its strict cases, against heddle-proxy",
    "h2spec-mesh": "h2spec 2.2.1 with its strict cases, in a mesh: at the ingress gateway, into a sidecar and out of one",
    "smuggling": "request smuggling, the whole corpus, through heddle-proxy and stock Envoy",
    "clients": "curl, wrk, h2load, Node.js, Java, httpx and libraries of WebSocket through heddle-proxy",
    "grpc": "gRPC's interoperability suite between Go, Java and Node.js, and their libraries without a proxy",
    "sslscan": "sslscan of heddle-proxy with certificates and nothing else",
    "istio": "Istio's samples and the tests of its analyzers",
    "gateway": "the conformance suite of the Gateway API 1.6.3 on a cluster (docs/conformance/gateway-api.yaml)",
}
# What ports that declare nothing cannot pass: there a wrong preface of HTTP/2 is HTTP/1.1, and answered so.
KNOWN = {"h2spec-mesh": "Sends invalid connection preface"}


def counts(name, text):
    """passed, failed, skipped, known"""
    total = [0, 0, 0, 0]
    for m in re.finditer(r"^(?:\w+: )?(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", text, re.M):
        _, passed, skipped, failed = map(int, m.groups())
        known = failed if name in KNOWN else 0
        total = [a + b for a, b in zip(total, (passed, failed - known, skipped, known))]
    if name == "h2spec-mesh":  # the script names every failure but the known one
        unknown = len(re.findall(r"^\w+ failed: ", text, re.M))
        total[1] += unknown
        total[3] -= unknown
    lines = re.findall(r"^ *--- (PASS|FAIL|SKIP): (\S+)", text, re.M)
    parents = {n.rsplit("/", 1)[0] for _, n in lines if "/" in n}
    for result, test in lines:
        if test not in parents:  # a test with tests in it is not one more
            total[{"PASS": 0, "FAIL": 1, "SKIP": 2}[result]] += 1
    total[0] += len(re.findall(r"^sslscan: \w+: no weak finding", text, re.M))
    return total


def main():
    logs, version, file, *results = sys.argv[1:]
    bad = []
    out = [
        "# Written by `make conformance`, which runs all of these on one tree.",
        f"version: {version}",
        f'date: "{datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")}"',
        f"processors: {os.cpu_count()}",
        "suites:",
    ]
    for r in results:
        name, status, seconds = r.split("=")
        with open(os.path.join(logs, name + ".log"), errors="replace") as f:
            text = f.read()
        passed, failed, skipped, known = counts(name, text)
        good = status == "0" and failed == 0 and skipped == 0 and passed > 0
        summary = f"{passed} passed, {failed} failed, {skipped} left out"
        out += [f"- name: {name}", f"  what: {TITLES[name]}", f"  result: {'success' if good else 'failure'}",
                f"  passed: {passed}", f"  failed: {failed}", f"  skipped: {skipped}", f"  seconds: {seconds}"]
        if known:
            out += [f"  documented: {known} # {KNOWN[name]}: see test/conformance/h2spec-mesh.sh"]
            summary += f", {known} documented"
        if file == "-":
            print(f"conformance: {name}: {summary} ({seconds} s){'' if good else ' FAILED'}")
        if not good:
            bad.append(name)
    if file != "-":
        with open(file, "w") as f:
            f.write("\n".join(out) + "\n")
    if bad:
        sys.exit("conformance: failed: " + ", ".join(bad))


main()
