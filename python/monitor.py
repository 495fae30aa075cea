#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""What confabd nodes are doing, in a terminal: reads /metrics and /readyz of one or many.

    python/monitor.py [--every SECONDS] [--once] [--json] [HOST:PORT | http://HOST:PORT ...]

Without an address it looks at 127.0.0.1:7000.  Keys: q quits, arrows choose a node, space stops the display.
--once prints one look (two readings, so that there are rates) and ends: 0 if every node is ready, 1 if one is not or
can't be reached.  --json prints it as JSON: {"nodes": [...], "total": {...}}.
"""
import argparse
import collections
import concurrent.futures
import curses
import http.client
import json
import re
import sys
import time
import urllib.error
import urllib.request
from typing import Callable, Deque, Dict, List, Optional, Tuple

HISTORY = 120          # readings kept for the sparklines
TIMEOUT_S = 3.0
BARS = " ▁▂▃▄▅▆▇█"
SAMPLE = re.compile(r'^(\w+)(?:\{([^}]*)\})? (\S+)$', re.M)

# db: can the store be written; breaks: connections that broke or were tried in vain, since the node's start.
# redis: what the node publishes comes back; lag: how long that takes; peers: other nodes that it hears.
# Who is online on two nodes counts twice in the total.
# What is shown of a node: key, heading, how it is written, what a total of several nodes is.
COLUMNS: Tuple[Tuple[str, str, str, Callable[[List[float]], float]], ...] = (
    ("connections", "conns", "count", sum),
    ("online", "online", "count", sum),
    ("in_per_s", "in/s", "rate", sum),
    ("out_per_s", "out/s", "rate", sum),
    ("commit_p50_s", "commit p50", "time", max),
    ("commit_p99_s", "p99", "time", max),
    ("send_p99_s", "ack p99", "time", max),
    ("batch", "batch", "rate", max),
    ("write_queue", "queued", "count", sum),
    ("queued_bytes", "out bytes", "bytes", sum),
    ("dropped_per_s", "drops/s", "rate", sum),
    ("errors_per_s", "errors/s", "rate", sum),
    ("store_up", "db", "up", min),
    ("store_breaks", "db breaks", "count", sum),
    ("bus_up", "redis", "up", min),
    ("bus_publishes_per_s", "pub/s", "rate", sum),
    ("bus_lag_p99_s", "lag p99", "time", max),
    ("bus_breaks", "redis breaks", "count", sum),
    ("bus_peers", "peers", "count", min),
)

Labels = Tuple[Tuple[str, str], ...]
Samples = Dict[Tuple[str, Labels], float]
Figures = Dict[str, Optional[float]]


def parse(text: str) -> Samples:
    """Prometheus' text format, as far as confabd writes it."""
    samples: Samples = {}
    for name, labels, value in SAMPLE.findall(text):
        pairs = tuple(sorted(re.findall(r'(\w+)="([^"]*)"', labels)))
        samples[name, pairs] = float(value)
    return samples


def total(samples: Samples, name: str) -> float:
    """Of all label values of one metric."""
    return sum(value for (metric, _), value in samples.items() if metric == name)


def one(samples: Samples, name: str, **labels: str) -> float:
    return samples.get((name, tuple(sorted(labels.items()))), 0.0)


def quantile(old: Samples, new: Samples, name: str, q: float) -> Optional[float]:
    """The upper bound of the histogram's bucket that holds the quantile of what came between two readings."""
    buckets = sorted((float(dict(labels)["le"]), value - old.get((metric, labels), 0.0))
                     for (metric, labels), value in new.items() if metric == name + "_bucket")
    if not buckets or buckets[-1][1] <= 0:
        return None
    return next((le for le, count in buckets if count >= q * buckets[-1][1]), None)


class Node:
    """One confabd: its last readings, and what they say."""

    def __init__(self, address: str) -> None:
        self.base = address if "://" in address else "http://" + address
        self.name = self.base.split("://", 1)[1].rstrip("/")
        self.state = "unknown"   # "ready", or why not
        self.figures: Figures = {}
        self.history: Dict[str, Deque[float]] = collections.defaultdict(lambda: collections.deque(maxlen=HISTORY))
        self._before: Optional[Tuple[float, Samples]] = None

    def _get(self, path: str) -> Tuple[int, str]:
        try:
            with urllib.request.urlopen(self.base.rstrip("/") + path, timeout=TIMEOUT_S) as answer:
                return answer.status, answer.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace")

    def read(self) -> None:
        """Asks the node; a failure becomes its state, and its figures go."""
        try:
            code, why = self._get("/readyz")
            why = "".join(c if c.isprintable() else " " for c in why.strip()[:200])
            self.state = "ready" if code == 200 else "not ready: " + (why or str(code))
            code, text = self._get("/metrics")
        except (OSError, http.client.HTTPException) as error:
            self.state = f"can't be reached: {getattr(error, 'reason', error)}"
            self.figures, self._before = {}, None
            return
        if code != 200:
            self.state = f"/metrics says {code}: add this machine to `monitors`"
            self.figures, self._before = {}, None
            return
        self._take(time.monotonic(), parse(text))

    def _take(self, now: float, new: Samples) -> None:
        figures: Figures = {
            "connections": total(new, "confab_connections"),
            "online": total(new, "confab_users_online"),
            "write_queue": one(new, "confab_store_queue_operations", queue="write"),
            "read_queue": one(new, "confab_store_queue_operations", queue="read"),
            "queued_bytes": total(new, "confab_queued_bytes"),
            "store_up": total(new, "confab_store_writable"),
            "store_breaks": total(new, "confab_store_disconnects_total"),
            "bus_up": None, "bus_lag_p99_s": None, "bus_publishes_per_s": None, "bus_breaks": None, "bus_peers": None,
        }
        if total(new, "confab_bus_configured"):
            figures.update(bus_up=total(new, "confab_bus_looped"),
                           bus_breaks=total(new, "confab_bus_disconnects_total"),
                           bus_peers=total(new, "confab_bus_peers"))
        if self._before is not None and now > self._before[0]:
            figures.update(self._rates(now - self._before[0], self._before[1], new))
            if figures["bus_up"] is not None:
                figures.update(self._bus_rates(now - self._before[0], self._before[1], new))
        self._before = (now, new)
        self.figures = figures
        for key, value in figures.items():
            if value is not None:
                self.history[key].append(value)

    @staticmethod
    def _rates(seconds: float, old: Samples, new: Samples) -> Figures:
        def rate(*names: str) -> float:
            return max(0.0, sum(total(new, name) - total(old, name) for name in names)) / seconds

        batches = total(new, "confab_store_batches_total") - total(old, "confab_store_batches_total")
        rows = total(new, "confab_store_batch_operations_total") - total(old, "confab_store_batch_operations_total")
        return {
            "in_per_s": rate("confab_messages_received_total"),
            "out_per_s": rate("confab_messages_delivered_total"),
            "dropped_per_s": rate("confab_dropped_total", "confab_rate_limited_total"),
            "errors_per_s": rate("confab_store_errors_total"),
            "batch": rows / batches if batches > 0 else None,
            "commit_p50_s": quantile(old, new, "confab_store_commit_seconds", 0.5),
            "commit_p99_s": quantile(old, new, "confab_store_commit_seconds", 0.99),
            "send_p99_s": quantile(old, new, "confab_send_seconds", 0.99),
        }


    @staticmethod
    def _bus_rates(seconds: float, old: Samples, new: Samples) -> Figures:
        published = total(new, "confab_bus_publishes_total") - total(old, "confab_bus_publishes_total")
        return {"bus_publishes_per_s": max(0.0, published) / seconds,
                "bus_lag_p99_s": quantile(old, new, "confab_bus_loop_seconds", 0.99)}


def read_all(nodes: List[Node]) -> None:
    with concurrent.futures.ThreadPoolExecutor(max_workers=len(nodes)) as pool:
        list(pool.map(Node.read, nodes))


def totals(nodes: List[Node]) -> Figures:
    result: Figures = {}
    for key, _, _, combine in COLUMNS:
        values = [value for value in (node.figures.get(key) for node in nodes) if value is not None]
        result[key] = combine(values) if values else None
    return result


# --- Writing ---

def written(value: Optional[float], how: str) -> str:
    if value is None:
        return "-"
    if how == "up":
        return "up" if value else "DOWN"
    if how == "time":
        return f"{value * 1e6:.0f} µs" if value < 1e-3 else f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.1f} s"
    if how == "bytes":
        for unit in ("B", "KiB", "MiB"):
            if value < 1024:
                return f"{value:.0f} {unit}"
            value /= 1024
        return f"{value:.1f} GiB"
    if how == "rate" and value < 100:
        return f"{value:.1f}"
    return f"{value:,.0f}"


def sparkline(values: Deque[float], width: int) -> str:
    shown = list(values)[-width:]
    top = max(shown, default=0.0)
    if top <= 0:
        return BARS[1] * len(shown)
    return "".join(BARS[1 + min(7, int(value / top * 7.999))] for value in shown)


def table(nodes: List[Node]) -> List[str]:
    """A heading, a line for each node, and their total."""
    rows = [["node"] + [heading for _, heading, _, _ in COLUMNS]]
    rows += [[node.name] + [written(node.figures.get(key), how) for key, _, how, _ in COLUMNS] for node in nodes]
    if len(nodes) > 1:
        figures = totals(nodes)
        rows.append(["total"] + [written(figures[key], how) for key, _, how, _ in COLUMNS])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0])] + [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])])
             for row in rows]
    for i, node in enumerate(nodes, start=1):
        lines[i] += "  " + node.state
    return lines


def as_json(nodes: List[Node]) -> str:
    shown = [{"node": node.name, "ready": node.state == "ready", "state": node.state, **node.figures} for node in nodes]
    return json.dumps({"nodes": shown, "total": totals(nodes)}, indent=2)


# --- The terminal ---

def put(screen: "curses.window", y: int, text: str, attributes: int = 0) -> None:
    height, width = screen.getmaxyx()
    if 0 <= y < height and width > 1:
        screen.addnstr(y, 0, text, width - 1, attributes)


def draw(screen: "curses.window", nodes: List[Node], chosen: int, every: float, paused: bool) -> None:
    screen.erase()
    put(screen, 0, f"confab: {sum(node.state == 'ready' for node in nodes)} of {len(nodes)} ready"
        f"   every {every:g} s{'   stopped' if paused else ''}   q quits, arrows choose, space stops", curses.A_BOLD)
    lines = table(nodes)
    put(screen, 2, lines[0], curses.A_UNDERLINE)
    for i, line in enumerate(lines[1:]):
        lit = curses.A_REVERSE if i == chosen else 0
        bad = i < len(nodes) and nodes[i].state != "ready"
        put(screen, 3 + i, line, lit | (curses.A_BOLD if bad else 0))
    top = 4 + len(lines)
    put(screen, top, f"{nodes[chosen].name}: {nodes[chosen].state}", curses.A_BOLD)
    width = max(10, min(HISTORY, screen.getmaxyx()[1] - 34))
    for i, (key, heading, how, _) in enumerate(COLUMNS):
        values = nodes[chosen].history[key]
        now = written(nodes[chosen].figures.get(key), how)
        put(screen, top + 1 + i, f"{heading:>12} {now:>12}  {sparkline(values, width)}")
    screen.refresh()


def watch(screen: "curses.window", nodes: List[Node], every: float) -> None:
    chosen, paused, due = 0, False, 0.0
    curses.use_default_colors()
    try:
        curses.curs_set(0)
    except curses.error:
        pass   # a terminal that can't hide its cursor
    while True:
        if not paused and time.monotonic() >= due:
            due = time.monotonic() + every
            read_all(nodes)
        draw(screen, nodes, chosen, every, paused)
        screen.timeout(max(50, int((due - time.monotonic()) * 1000)) if not paused else 1000)
        key = screen.getch()
        if key in (ord("q"), 27):
            return
        if key == ord(" "):
            paused, due = not paused, 0.0
        elif key in (curses.KEY_UP, curses.KEY_DOWN):
            chosen = (chosen + (1 if key == curses.KEY_DOWN else -1)) % len(nodes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="between two readings (1)")
    parser.add_argument("--once", action="store_true", help="one look, then end")
    parser.add_argument("--json", action="store_true", help="with --once: as JSON")
    parser.add_argument("node", nargs="*", default=["127.0.0.1:7000"], help="HOST:PORT of a confabd")
    args = parser.parse_args()
    if args.every <= 0:
        parser.error("--every must be more than 0")
    nodes = [Node(address) for address in args.node]
    if args.once or args.json:
        read_all(nodes)
        time.sleep(args.every)
        read_all(nodes)
        print(as_json(nodes) if args.json else "\n".join(table(nodes)))
        return 0 if all(node.state == "ready" for node in nodes) else 1
    if not sys.stdout.isatty():
        parser.error("the display needs a terminal; --once prints one look")
    try:
        curses.wrapper(watch, nodes, args.every)
    except KeyboardInterrupt:
        pass
    return 0


if __name__ == "__main__":
    sys.exit(main())
