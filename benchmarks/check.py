"""How long `mtrigger check` takes for 500 rule files, and `mtrigger --help`, as whole processes.

Every rule has a condition, inline templates and settings of its own; every tenth uses a template file. The
figures are the best of several runs, in seconds and as a multiple of a bare start of Python on the same
machine.

    python -m benchmarks.check [--files N] [--runs N]
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RULE = """\
name: rule-{n}
description: Orders of kind {n}
on:
  collection: [shop.orders_{n}, archive.orders]
  operations: [insert, update]
when: >-
  amount > {n} and status in ["paid", "open"]
  and not (customer.country == "K{n}" or exists(cancelled_{n}))
do:
  - email:
      to: sales-{n}@example.com
      subject: "Order {{{{ document.order_id }}}} of kind {n}: {{{{ document.amount | money('USD') }}}}"
      {body}
  - webhook:
      url: https://example.com/hooks/{n}
      headers: {{X-Kind: "{n}"}}
retry: {{attempts: 5, first_delay: 2s, max_age: 12h}}
"""


def write_rules(folder: Path, count: int) -> None:
    """`triggers/` with `count` rule files, and `templates/`."""
    triggers, templates = folder / "triggers", folder / "templates"
    triggers.mkdir()
    templates.mkdir()
    for n in range(count):
        body = f'text: "Order {{{{ document.order_id }}}} ({n})"'
        if n % 10 == 0:
            (templates / f"order-{n}.html.j2").write_text(
                f"<h1>Kind {n}</h1><p>{{% for item in document.items %}}{{{{ item.name }}}}{{% endfor %}}</p>"
            )
            body = f"template: order-{n}.html.j2"
        (triggers / f"rule-{n}.yaml").write_text(RULE.format(n=n, body=body))


def best(*command: str, cwd: Path, runs: int) -> float:
    """Seconds of the fastest of several runs of `command`, which must succeed."""
    seconds = []
    for _ in range(runs):
        start = time.perf_counter()
        subprocess.run(command, cwd=cwd, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="How long `mtrigger check` takes.")
    parser.add_argument("--files", type=int, default=500, help="rule files (%(default)s)")
    parser.add_argument("--runs", type=int, default=5, help="the best of so many counts (%(default)s)")
    options = parser.parse_args()
    count, runs = options.files, options.runs
    with tempfile.TemporaryDirectory(prefix="mtrigger-bench-") as name:
        folder = Path(name)
        write_rules(folder, count)
        bare = best(sys.executable, "-c", "pass", cwd=folder, runs=runs)
        command = (sys.executable, "-m", "mtrigger")
        figures = {
            "python -c pass": bare,
            "mtrigger --help": best(*command, "--help", cwd=folder, runs=runs),
            f"mtrigger check, {count} files": best(*command, "check", cwd=folder, runs=runs),
        }
    for what, seconds in figures.items():
        print(f"{what:30} {seconds:6.3f} s {seconds / bare:6.1f} x a bare start")


if __name__ == "__main__":
    main()
