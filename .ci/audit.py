"""Audits every pinned package for known vulnerabilities: a finding fails, a service that is away does not.

pip-audit passes in silence over a package that its service does not know, as behind a mirror that offers packages only;
this says in one line how many were audited.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_SECONDS = 120
_CONSTRAINTS = Path(__file__).resolve().parent.parent / "constraints.txt"


def run(pins: Path) -> dict[str, Any] | None:
    """pip-audit's report on the packages pinned in `pins`; None where its service does not answer in time."""
    command = [sys.executable, "-m", "pip_audit", "--requirement", str(pins), "--no-deps", "--disable-pip"]
    options = ["--format", "json", "--progress-spinner", "off", "--timeout", "5"]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, check=False, timeout=_SECONDS)
    except subprocess.TimeoutExpired:
        return None
    if done.stdout:
        report: dict[str, Any] = json.loads(done.stdout)
        return report
    last = done.stderr.strip().splitlines()[-1:]
    if last and last[0].startswith(("requests.exceptions.", "ERROR:pip_audit._cli:Could not connect")):
        return None
    raise SystemExit(f"audit: pip-audit failed\n{done.stderr}")


def judge(report: dict[str, Any] | None) -> tuple[list[str], bool]:
    """What there is to say of a report, a line each, and whether it is a finding."""
    if report is None:
        return ["audit: the vulnerability service does not answer; nothing was audited"], False
    packages = report["dependencies"]
    skipped = sum("skip_reason" in package for package in packages)
    findings = [
        f"audit: {package['name']} {package['version']} has {fault['id']}, fixed in {', '.join(fault['fix_versions'])}"
        for package in packages
        for fault in package.get("vulns", ())
    ]
    known = len(packages) - skipped
    return [*findings, f"audit: {known} of {len(packages)} pinned packages audited, {len(findings)} findings"], bool(
        findings
    )


def main() -> None:
    """Say what was found; exit status 1 for findings."""
    lines, found = judge(run(_CONSTRAINTS))
    print("\n".join(lines))
    sys.exit(found)


if __name__ == "__main__":
    main()
