#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Has PyTorch do what bench_fusion timed and prints the times of both in one table.

  build/cuda/benchmarks/bench_fusion --json fusion.json
  benchmarks/compare_fusion.py fusion.json --modes eager compile

Compiling takes PyTorch many seconds for every row: only the plans svae and vaevae with 64 latent
dimensions are compiled.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
COMPILED = ["--plan", "svae", "vaevae", "--latent", "64"]


def torch_times(python, like, mode, quick, seconds, folder):
    """-> what torch_fusion.py wrote, perhaps not all in time, or None: nothing"""
    out = pathlib.Path(folder) / (mode + ".json")
    command = [python, str(HERE / "torch_fusion.py"), "--like", like, "--mode", mode, "--json", str(out)]
    command += ["--quick"] * quick + (COMPILED if mode != "eager" else [])
    try:
        subprocess.run(command, check=True, timeout=seconds)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        print("PyTorch %s: %s" % (mode, e), file=sys.stderr)
    return json.loads(out.read_text()) if out.exists() else None


def table(ours, theirs):
    """Markdown: forward pass, then forward and backward pass, of each mode of PyTorch and its ratio"""
    of_us = {}
    for r in ours["rows"]:
        of_us.setdefault((r["plan"], r["batch"], r["latent"]), {})[r["direction"]] = r
    how = ["launched", "graph"] if ours["device"] == "cuda" else ["graph"]
    yield "%s; copy %.0f GB/s; %s. Microseconds; ratio: PyTorch's time over ours." % (
        ours["name"], ours["copy_GBps"], ", ".join("PyTorch %s %s" % (t["torch"], t["mode"]) for t in theirs))
    yield ""
    heads = ["plan", "batch", "latent", "passes", "timed"] + ["poe"]
    for t in theirs:
        heads += [t["mode"], "ratio"]
    yield "| " + " | ".join(heads) + " |"
    yield "| --- | ---: | ---: | --- | --- |" + " ---: |" * (len(heads) - 5)
    for key, both in of_us.items():
        if len(both) < 2:
            continue  # bench_fusion was cut short here
        of_torch = [next((r for r in t["rows"] if (r["plan"], r["batch"], r["latent"]) == key), None)
                    for t in theirs]
        for passes, name in (("forward", "forward"), ("step", "both")):
            for h in how:
                us = both["forward"][h + "_us"] + (both["backward"][h + "_us"] if passes == "step" else 0)
                cells = ["%s" % key[0], "%d" % key[1], "%d" % key[2], name,
                         {"launched": "call by call", "graph": "in a graph"}[h] if len(how) > 1 else "-",
                         "%.1f" % us]
                for r in of_torch:
                    t = r and r[passes + "_" + h + "_us"]
                    cells += ["%.1f" % t, "%.2f" % (t / us)] if t else ["-", "-"]
                yield "| " + " | ".join(cells) + " |"


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("ours", help="what bench_fusion --json wrote")
    p.add_argument("--modes", nargs="*", default=["eager"], choices=["eager", "compile", "max-autotune"],
                   help="of PyTorch")
    p.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    p.add_argument("--quick", action="store_true", help="fewer repetitions")
    p.add_argument("--seconds", type=float, default=600, help="for each mode of PyTorch")
    a = p.parse_args()
    ours = json.loads(pathlib.Path(a.ours).read_text())
    with tempfile.TemporaryDirectory() as folder:
        theirs = [torch_times(a.python, a.ours, m, a.quick, a.seconds, folder) for m in a.modes]
    print("\n".join(table(ours, [t for t in theirs if t])))
    return 0 if all(theirs) else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (OSError, ValueError) as e:
        sys.exit("compare_fusion: %s" % e)
