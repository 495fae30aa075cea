# SPDX-License-Identifier: MIT
"""Two kinds of chart as SVG, readable on light and on dark ground: the page's own colours are asked for, and what is
drawn is of a middle lightness."""
import html
import math

WIDTH = 760
FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"
STRONG = "#e8590c"
COLOURS = ["#1c7ed6", "#2f9e44", "#9c36b5", "#0c8599", "#c2255c", "#a07000", "#5f6caf", "#2b8a6e", "#b35a00", "#7a7f87"]
DASHES = ["", "7 4", "2 4"]
STYLE = """
text { font-family: %s; fill: #343a40; }
.title { font-size: 19px; font-weight: 600; }
.under, .tick { font-size: 12.5px; fill: #5c636a; }
.name { font-size: 13.5px; }
.value { font-size: 12.5px; font-variant-numeric: tabular-nums; }
.strong { font-weight: 700; }
.ground { fill: #ffffff; }
.grid { stroke: #868e96; stroke-opacity: 0.3; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
	text { fill: #dee2e6; }
	.under, .tick { fill: #adb5bd; }
	.ground { fill: #16181b; }
}
""" % FONT


def figure(value, places=2):
    """With so many digits that count, zeros too: 0.40, 5.0, 61, 1,234."""
    if value == 0:
        return "0"
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.{max(0, places - 1 - math.floor(math.log10(value)))}f}"


def number(value, places=2):
    text = figure(value, places)
    return text.rstrip("0").rstrip(".") if "." in text else text


def short(value):
    for limit, unit in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= limit:
            return f"{number(value / (1e3 if unit == 'k' else limit), 3)}{unit}"
    return number(value, 3)


class Canvas:
    def __init__(self, height, title, under):
        self.height, self.parts = height, []
        self.label = f"{title}. {under}"
        self.text(24, 36, title, "title")
        self.text(24, 58, under, "under")

    def text(self, x, y, words, kind, anchor="start"):
        self.parts.append(f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(words)}</text>')

    def line(self, x1, y1, x2, y2, kind="grid"):
        self.parts.append(f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>')

    def dot(self, x, y):
        self.parts.append(f'<circle cx="{x}" cy="{y}" r="4" fill="{COLOURS[1]}"/>')

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.height}" '
                f'viewBox="0 0 {WIDTH} {self.height}" role="img" aria-label="{html.escape(self.label)}">\n'
                f"<style>{STYLE}</style>\n"
                f'<rect class="ground" width="{WIDTH}" height="{self.height}" rx="10"/>\n' + "\n".join(self.parts) + "\n</svg>\n")


class Scale:
    """Values to places on paper."""

    def __init__(self, values, start, end, log, whole=False):
        """whole: a logarithmic one has powers of ten only, however few."""
        low, high = min(values), max(values)
        self.start, self.end, self.log = start, end, log
        if log:
            self.fine = not whole and high / low < 1000
            self.low, self.high = self.round_log(low, math.floor), self.round_log(high, math.ceil)
        else:
            self.step = self.nice(high / 5)
            self.low, self.high = 0, math.ceil(high / self.step - 1e-9) * self.step

    def round_log(self, value, towards):
        """The next of 1, 2, 5, 10, ..., or of the powers of ten."""
        marks = [power + math.log10(times) for power in range(-6, 13) for times in ((1, 2, 5) if self.fine else (1,))]
        value = math.log10(value)
        if towards is math.floor:
            return 10 ** max(mark for mark in marks if mark <= value + 1e-9)
        return 10 ** min(mark for mark in marks if mark >= value - 1e-9)

    @staticmethod
    def nice(step):
        power = 10 ** math.floor(math.log10(step))
        return next(times * power for times in (1, 2, 2.5, 5, 10) if times * power >= step * 0.999)

    def at(self, value):
        share = (math.log10(value / self.low) / math.log10(self.high / self.low) if self.log
                 else (value - self.low) / (self.high - self.low))
        return self.start + share * (self.end - self.start)

    def ticks(self):
        if self.log:
            marks = [times * 10.0 ** power for power in range(-6, 13) for times in ((1, 2, 5) if self.fine else (1,))]
            return [mark for mark in marks if self.low * 0.999 <= mark <= self.high * 1.001]
        return [self.low + i * self.step for i in range(round((self.high - self.low) / self.step) + 1)]


def bars(title, under, names, series, strong, dotted=(), dot_means=""):
    """A row for each name, a bar for each of the series [(label, values or None)] that has one; on a logarithmic scale.
    Behind a bar its value, and how many times that of `strong` it is."""
    left, right, top, thick = 200, 110, 104, 14
    row = thick * len(series) + 14
    canvas = Canvas(top + row * len(names) + 44, title, under)
    scale = Scale([v for _, values in series for v in values if v], left, WIDTH - right, True, whole=True)
    bottom = top + row * len(names)
    for tick in scale.ticks():
        canvas.line(scale.at(tick), top - 6, scale.at(tick), bottom)
        canvas.text(scale.at(tick), bottom + 18, f"{number(tick)} µs", "tick", "middle")
    for i, (label, _) in enumerate(series):
        canvas.parts.append(f'<rect x="{left + 130 * i}" y="72" width="13" height="13" rx="3" fill="{COLOURS[0]}" '
                            f'fill-opacity="{1 - 0.5 * i}"/>')
        canvas.text(left + 20 + 130 * i, 83, label, "tick")
    if dot_means:
        canvas.dot(left + 130 * len(series) + 7, 78.5)
        canvas.text(left + 20 + 130 * len(series), 83, dot_means, "tick")
    for n, name in enumerate(names):
        y, mine = top + n * row, name == strong
        there = [i for i, (_, values) in enumerate(series) if values[n] is not None]
        canvas.text(left - 22, y + row / 2 - 2, name, "name strong" if mine else "name", "end")
        if name in dotted:
            canvas.dot(left - 11, y + row / 2 - 7)
        for at, i in enumerate(there):
            value, ours = series[i][1][n], series[i][1][names.index(strong)] if strong in names else None
            end = scale.at(value)
            above = y + at * thick + (len(series) - len(there)) * thick / 2
            canvas.parts.append(f'<rect x="{left}" y="{above}" width="{max(1.5, end - left):.1f}" height="{thick - 2}" rx="2" '
                                f'fill="{STRONG if mine else COLOURS[0]}" fill-opacity="{1 - 0.5 * i}"/>')
            canvas.text(end + 6, above + thick - 3, figure(value), "value strong" if mine else "value")
            if ours and not mine:
                canvas.text(end + 16 + 8 * len(figure(value)), above + thick - 3, f"{figure(value / ours)} ×", "tick")
    return canvas.svg()


def spread_labels(places, least, low, high):
    """Moves labels apart: at least so far from each other, and all of them on the paper."""
    order = sorted(range(len(places)), key=lambda i: places[i])
    at = dict.fromkeys(order, low)
    for before, i in zip([None] + order, order):
        at[i] = max(places[i], low if before is None else at[before] + least)
    limit = high
    for i in reversed(order):
        at[i] = min(at[i], limit)
        limit = at[i] - least
    return [at[i] for i in range(len(places))]


def lines(title, under, x_name, series, log_x=False, log_y=False, unit="", values=False):
    """[(label, family, [(x, y)])]: a family has one colour, its lines different dashes; labelled where they end.
    values: each point has its own beside it."""
    left, right, top = 78, 236, 84
    bottom = top + max(300, 19 * len(series))
    canvas = Canvas(bottom + 62, title, under)
    across = Scale([x for *_, points in series for x, _ in points], left, WIDTH - right, log_x)
    up = Scale([y for *_, points in series for _, y in points], bottom, top, log_y)
    for tick in up.ticks():
        canvas.line(left, up.at(tick), WIDTH - right, up.at(tick))
        canvas.text(left - 8, up.at(tick) + 4, f"{short(tick)} {unit}", "tick", "end")
    for tick in across.ticks():
        canvas.line(across.at(tick), bottom, across.at(tick), bottom + 5)
        canvas.text(across.at(tick), bottom + 20, short(tick), "tick", "middle")
    canvas.text((left + WIDTH - right) / 2, bottom + 44, x_name, "tick", "middle")
    families = list(dict.fromkeys(family for _, family, _ in series))
    others = [family for family in families if family != "confabd"]
    ends = spread_labels([up.at(points[-1][1]) for *_, points in series], 17, top, bottom)
    seen = {}
    for (label, family, points), end in zip(series, ends):
        colour = STRONG if family == "confabd" else COLOURS[others.index(family) % len(COLOURS)]
        dash = DASHES[seen.setdefault(family, 0) % len(DASHES)]
        seen[family] += 1
        draw_line(canvas, [(across.at(x), up.at(y)) for x, y in points], colour, dash, family == "confabd")
        for x, y in points if values else []:
            canvas.text(across.at(x) + (6 if x == points[0][0] else 0), up.at(y) - 9, f"{figure(y)} {unit}", "value",
                        "start" if x == points[0][0] else "end" if x == points[-1][0] else "middle")
        x, y = across.at(points[-1][0]), up.at(points[-1][1])
        canvas.parts.append(f'<path d="M{x + 5:.1f} {y:.1f}L{WIDTH - right + 14} {end:.1f}" stroke="{colour}" '
                            'stroke-opacity="0.5" fill="none"/>')
        canvas.text(WIDTH - right + 18, end + 4, label, "name strong" if family == "confabd" else "name")
    return canvas.svg()


def draw_line(canvas, places, colour, dash, strong):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
    canvas.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="{3 if strong else 1.8}" '
                        f'stroke-linejoin="round" stroke-dasharray="{dash}"/>')
    canvas.parts += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
