"""The report of a series of drills: JSON for programs, one HTML file for people."""

from __future__ import annotations

import html
import json
import statistics
from pathlib import Path
from typing import Any

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:82em;padding:0 1em;color:#1b1f24;background:#fff}
table{border-collapse:collapse;width:100%;margin:.6em 0 2em}th,td{padding:.25em .6em;text-align:left;border-bottom:1px solid #d8dee4;vertical-align:top}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}.bad{color:#b00020;font-weight:600}.good{color:#116329}
summary{cursor:pointer}pre{white-space:pre-wrap;font-size:12px;margin:.3em 0}.big{font-size:1.4em}div.w{overflow-x:auto}
@media(prefers-color-scheme:dark){body{background:#0d1117;color:#e6edf3}th,td{border-color:#30363d}.bad{color:#ff7b72}.good{color:#56d364}}
"""


def count(run: dict[str, Any], what: str) -> int:
    """Numbers that are lost, or duplicated, on either node; one that is so on both counts once."""
    return len({number for found in run["verdict"].get(what, {}).values() for number in found})


def figures(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of runs with a verdict: medians and worst ones. Times in seconds."""
    judged = [run for run in runs if run["verdict"]]

    def spread(values: list[float]) -> dict[str, float]:
        return {"median": round(statistics.median(values), 3), "worst": round(max(values), 3)} if values else {}

    return {
        "runs": len(runs),
        "acknowledged": sum(run["verdict"]["acknowledged"] for run in judged),
        "lost": sum(count(run, "lost") for run in judged),
        "duplicated": sum(count(run, "duplicated") for run in judged),
        "both_open_ms": round(sum(run["verdict"]["both_open"] for run in judged) * 1000),
        "both_acknowledged_ms": round(sum(run["verdict"]["both_acknowledged"] for run in judged) * 1000),
        "writes_out": spread([run["verdict"]["writes_out"] for run in judged]),
        "pages_out": spread([run["verdict"]["pages_out"] for run in judged]),
        "rejoin": spread([run["rejoin"] for run in judged if run["rejoin"] is not None]),
        "problems": sum(bool(run["problems"]) for run in runs),
        "a_person_was_needed": sum("a person was needed" in " ".join(run["remarks"] + run["problems"]) for run in runs),
    }


def summary(runs: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By fault and the victim's role."""
    kinds = sorted({(run["fault"], run["role"]) for run in runs})
    return {f"{fault}, {role}": figures([run for run in runs if (run["fault"], run["role"]) == (fault, role)]) for fault, role in kinds}


def _cell(value: object, number: bool = False) -> str:
    return f"<td{' class=n' if number else ''}>{html.escape(str(value))}</td>"


def _times(found: dict[str, float]) -> str:
    return f"{found['median']:.2f} / {found['worst']:.2f}" if found else "-"


def _kind(name: str, kind: dict[str, Any]) -> str:
    numbers = (
        kind["runs"], _times(kind["writes_out"]), _times(kind["pages_out"]), _times(kind["rejoin"]),
        kind["acknowledged"], kind["lost"], kind["duplicated"], kind["both_open_ms"], kind["both_acknowledged_ms"], kind["problems"],
    )  # fmt: skip
    return f"<tr>{_cell(name)}{''.join(_cell(number, True) for number in numbers)}</tr>"


def _run(run: dict[str, Any]) -> str:
    said = run["verdict"]
    numbers = (
        (f"{said['writes_out']:.2f}", f"{said['pages_out']:.2f}", said["acknowledged"], count(run, "lost"), count(run, "duplicated"),
         round(said["both_open"] * 1000)) if said else ("-",) * 6
    )  # fmt: skip
    rejoin = "-" if run["rejoin"] is None else f"{run['rejoin']:.1f}"
    moment = f"{run['moment']:.2f}"
    words = "; ".join(run["problems"]) or "ok"
    more = "\n".join([*run["remarks"], *run["notes"], *run["decisions"]])
    return (
        f"<tr>{_cell(run['number'], True)}{_cell(run['fault'])}{_cell(run['victim'] + ', ' + run['role'])}{_cell(moment, True)}"
        f"{_cell('moved' if run['moved'] else 'stayed')}{''.join(_cell(number, True) for number in numbers)}{_cell(rejoin, True)}"
        f"<td><details><summary class={'bad' if run['problems'] else 'good'}>{html.escape(words)}</summary><pre>{html.escape(more)}</pre></details></td></tr>"
    )


def page(about: dict[str, Any], runs: list[dict[str, Any]]) -> str:
    """One file, nothing from elsewhere."""
    total = figures(runs)
    good = not total["problems"] and not about["aborted"]
    heads = "".join(f"<th class=n>{word}</th>" for word in (
        "runs", "writes out, s<br>median / worst", "pages out, s<br>median / worst", "whole again, s<br>median / worst", "acknowledged", "lost",
        "twice", "both open, ms", "both acknowledged, ms", "problems"))  # fmt: skip
    kinds = "".join(_kind(name, kind) for name, kind in summary(runs).items())
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content='width=device-width'>"
        f"<title>Drill {html.escape(about['begun'])}</title><style>{STYLE}</style>"
        f"<h1>{total['runs']} drills, {html.escape(about['begun'])}</h1>"
        f"<p>Seed <code>{html.escape(about['seed'])}</code>, lab {html.escape(about['lab'])}.</p>"
        f"<p class='big {'good' if good else 'bad'}'>{total['lost']} of {total['acknowledged']} acknowledged writes lost, {total['duplicated']} there "
        f"twice, {total['both_open_ms']} ms with both databases open, {total['problems']} runs with problems.</p>"
        + (f"<p class=bad>Ended early: {html.escape(about['aborted'])}</p>" if about["aborted"] else "")
        + f"<h2>By fault and the victim's role</h2><div class=w><table><tr><th>fault</th>{heads}</tr>{_kind('all', total)}{kinds}</table></div>"
        "<h2>Each run</h2><div class=w><table><tr><th class=n>run</th><th>fault</th><th>victim</th><th class=n>moment</th><th>role</th>"
        "<th class=n>writes out, s</th><th class=n>pages out, s</th><th class=n>acknowledged</th><th class=n>lost</th><th class=n>twice</th>"
        "<th class=n>both open, ms</th><th class=n>whole again, s</th><th>verdict, decisions</th></tr>"
        + "".join(_run(run) for run in runs)
        + "</table></div>"
    )


def write(directory: Path, about: dict[str, Any], runs: list[dict[str, Any]]) -> None:
    """report.json and report.html; each is replaced at once."""
    data = {"about": about, "total": figures(runs), "by_fault": summary(runs), "runs": runs}
    for name, text in (("report.json", json.dumps(data, indent=1)), ("report.html", page(about, runs))):
        new = directory / f"{name}.new"
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(directory / name)
