#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Runs bench_fusion and torch_fusion.py one after the other and prints their times in one table.

  benchmarks/compare_fusion.py build/cuda/benchmarks/bench_fusion --modes eager compile

Arguments that it does not know go to bench_fusion: --device, --plan, --batch, --latent.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent


def torch_times(python, like, mode, quick, seconds):
    """-> what torch_fusion.py wrote, or None: no PyTorch, or not in time"""
    out = like.parent / (mode + ".json")
    command = [python, str(HERE / "torch_fusion.py"), "--like", str(like), "--mode", mode, "--json", str(out)]
    try:
        subprocess.run(command + ["--quick"] * quick, check=True, timeout=seconds)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as e:
        print("PyTorch %s: %s" % (mode, e), file=sys.stderr)
        return None
    return json.loads(out.read_text())


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
    p.add_argument("program", help="bench_fusion")
    p.add_argument("--modes", nargs="*", default=["eager"], choices=["eager", "compile", "max-autotune"],
                   help="of PyTorch")
    p.add_argument("--python", default=sys.executable, help="a Python that has PyTorch")
    p.add_argument("--quick", action="store_true", help="fewer rows and repetitions")
    p.add_argument("--seconds", type=float, default=600, help="for each mode of PyTorch")
    a, rest = p.parse_known_args()
    with tempfile.TemporaryDirectory() as folder:
        like = pathlib.Path(folder) / "ours.json"
        subprocess.run([a.program, "--json", str(like)] + rest + ["--quick"] * a.quick, check=True,
                       stdout=sys.stderr)
        ours = json.loads(like.read_text())
        theirs = [torch_times(a.python, like, m, a.quick, a.seconds) for m in a.modes]
    print("\n".join(table(ours, [t for t in theirs if t])))


if __name__ == "__main__":
    try:
        main()
    except (OSError, subprocess.CalledProcessError) as e:
        sys.exit("compare_fusion: %s" % e)
