"""Runs the stages of "make test": each timed and logged, none hidden by another's failure."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import stages

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from standstill import Standstill

ROOT = Path(__file__).resolve().parents[2]
LOGS = ROOT / ".cache" / "test"
SHOWN_OF_A_FAILURE = 60
STOOD_STILL = 1.0
"""Seconds for which the machine must stand still before a pair may give its addresses away: four adverts."""
JUST_NOW = 30.0
"""Seconds before a command failed: what stood still earlier, in a command that takes minutes, is not why."""
NO_REPEAT_AFTER = 3300.0
"""Seconds from the beginning: a run must end in 90 minutes."""
BEGAN = time.monotonic()


@dataclass(frozen=True)
class Result:
    """How one stage went. Remark: what was tried twice, and why."""

    name: str
    failed: str
    seconds: float
    remark: str = ""


def run_command(command: stages.Command, output: IO[str]) -> tuple[int, float]:
    """Its status, and for how long the machine stood still just before it ended, in seconds."""
    print(f"$ {' '.join(command.argv)}", file=output, flush=True)
    env = os.environ | command.env
    with Standstill() as still:
        done = subprocess.run(command.argv, cwd=command.cwd, env=env, stdin=subprocess.DEVNULL, stdout=output, stderr=output, check=False)
    return done.returncode, still.lately(JUST_NOW)


def run_stage(stage: stages.Stage, fast: bool) -> Result:
    """Run the commands of a stage, all of them even if one fails; say which failed."""
    log = LOGS / f"{stage.name}.log"
    print(f"[test] {stage.name}: {stage.about} ...", flush=True)
    begin = time.monotonic()
    failed: list[str] = []
    remark = ""
    with log.open("w", encoding="utf-8") as output:
        try:
            commands = stage.commands(fast)
        except (OSError, subprocess.CalledProcessError) as error:
            print(error, file=output)
            commands, failed = [], ["preparation"]
        for command in commands:
            status, still = run_command(command, output)
            if status != 0 and stage.lab and still >= STOOD_STILL and time.monotonic() - BEGAN < NO_REPEAT_AFTER:
                remark = f"{command.name} tried twice: the machine stood still for {still:.1f} s just before it failed"
                print(f"[test] {stage.name}: {remark}", flush=True)
                print(f"=> {remark}", file=output, flush=True)
                status, _still = run_command(command, output)
            if status != 0:
                failed.append(command.name)
                print(f"=> {command.name} ended with {status}", file=output, flush=True)
    text = log.read_text(encoding="utf-8", errors="replace")
    failed += [reason for pattern, reason in stage.bad_signs if pattern.search(text)]
    seconds = time.monotonic() - begin
    if failed:
        lines = text.splitlines()
        errors = [line for line in lines[:-SHOWN_OF_A_FAILURE] if line.startswith(("ERROR", "FATAL", "fatal:", "=> "))]
        shown = "\n".join(errors[:SHOWN_OF_A_FAILURE] + lines[-SHOWN_OF_A_FAILURE:])
        print(f"{shown}\n[test] {stage.name}: FAILED ({', '.join(failed)}), {seconds:.0f} s, whole log in {log.relative_to(ROOT)}", flush=True)
    else:
        print(f"[test] {stage.name}: passed, {seconds:.0f} s", flush=True)
    return Result(stage.name, ", ".join(failed), seconds, remark)


def run_all(chosen: list[stages.Stage], fast: bool) -> list[Result]:
    """Run stages, two at a time, in their order: the first whose nodes no other stage is using, or is to use before it."""
    waiting, running, results = list(chosen), set[int](), []
    changed = threading.Condition()

    def ready() -> stages.Stage | None:
        taken = set(running)
        for stage in waiting:
            if stage.lab not in taken:
                return stage
            taken.add(stage.lab)
        return None

    def lane() -> None:
        while True:
            with changed:
                changed.wait_for(lambda: not waiting or ready())
                stage = ready()
                if stage is None:
                    return
                waiting.remove(stage)
                running.update({stage.lab} - {0})
            try:
                results.append(run_stage(stage, fast))
            finally:
                # Also where a program is missing, or the other lane would wait for these nodes for ever.
                with changed:
                    running.discard(stage.lab)
                    changed.notify_all()

    with ThreadPoolExecutor(max_workers=2) as pool:
        for future in [pool.submit(lane) for _lane in range(2)]:
            future.result()
    return results


def main() -> int:
    """Run what was asked for; the last line counts the stages."""
    line = argparse.ArgumentParser(description=__doc__)
    line.add_argument("--fast", action="store_true", help="the inner loop: no nodes, no packaging")
    line.add_argument("stage", nargs="*", choices=[[], *stages.ALL], help="all if none is named")
    asked = line.parse_args()
    names = asked.stage or [name for name, stage in stages.ALL.items() if stage.in_fast or not asked.fast]
    LOGS.mkdir(parents=True, exist_ok=True)
    programs = str(Path(sys.executable).parent)
    if programs not in os.environ["PATH"].split(os.pathsep):
        os.environ["PATH"] = programs + os.pathsep + os.environ["PATH"]
    chosen = [stages.ALL[name] for name in names]
    results = run_all(chosen, asked.fast)
    labs = {stage.lab for stage in chosen if stage.lab}
    if labs:
        results.append(run_stage(stages.take_down(labs), asked.fast))
    print(f"\n{'stage':<18} {'result':<8} {'seconds':>7}")
    for result in results:
        print(f"{result.name:<18} {'FAILED' if result.failed else 'passed':<8} {result.seconds:>7.0f}  {result.failed or result.remark}".rstrip())
    bad = sum(bool(result.failed) for result in results)
    print(f"\n{len(results) - bad} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
