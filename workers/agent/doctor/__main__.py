"""``python -m workers.agent.doctor``: look this machine over, print findings as JSON, exit with 1 if it is not fit."""

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from workers.agent.doctor.findings import Finding, Status, skipped
from workers.agent.doctor.machine import check_address, check_collectives, check_devices, check_disk, check_limits
from workers.agent.doctor.server import check_identity, check_server


def examine(options: argparse.Namespace) -> list[Finding]:
    """Run every check; one that cannot be made says so."""
    findings = check_server(options.server)
    findings += check_identity(options.server, options.data_dir, options.join_token_file)
    findings.append(check_disk(options.data_dir or Path.cwd()))
    findings += check_limits()
    about_devices, devices = check_devices(options.device, options.slots)
    about_address, address = check_address(options.server, options.address)
    findings += [about_devices, about_address]
    if address is None or not devices:
        findings.append(skipped("collectives", "needs devices and an address"))
    else:
        findings.append(check_collectives(devices, address))
    return findings


def main(argv: list[str] | None = None) -> int:
    """Print the findings; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m workers.agent.doctor", description=(__doc__ or "").split(":")[0])
    parser.add_argument("--server", required=True, metavar="URL")
    parser.add_argument("--data-dir", type=Path, metavar="DIR", help="of the node")
    parser.add_argument("--join-token-file", type=Path, metavar="FILE")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument("--slots", type=int, metavar="N")
    parser.add_argument("--address", metavar="A")
    findings = examine(parser.parse_args(argv))
    json.dump([dataclasses.asdict(finding) for finding in findings], sys.stdout)
    return int(any(finding.status is Status.FAILED for finding in findings))


if __name__ == "__main__":
    sys.exit(main())
