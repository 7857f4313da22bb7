"""A picture of the results as SVG: bars for each case, lines for growth. Strings only, no library."""
import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, BAR, GAP = 860, 190, 90, 18, 6
COLOURS = {"weir": "#1f6feb", "weir-batched": "#79b8ff", "nginx": "#2da44e", "haproxy": "#bf8700", "portkey": "#cf222e",
           "litellm": "#8250df", "direct": "#8c959f"}
OTHER = "#57606a"
CLIP = 6.0  # a bar longer than so many times weir's is cut and marked


def number(value):
    """Three digits that count: 0.42, 7.31, 12.5, 1,319."""
    if value == 0:
        return "0"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    return f"{value:,.{digits}f}"


def text(x, y, content, anchor="start", size=12, weight="normal", colour="#1f2328"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
            f'fill="{colour}">{escape(content)}</text>')


class Page:
    def __init__(self):
        self.parts, self.y = [], 16

    def bars(self, title, unit, rows):
        """rows: [(name, value, inner or None)]; `inner` (of weir: the workers' part) is drawn darker inside the bar."""
        known = dict((name, value) for name, value, _ in rows)
        longest = max(value for _, value, _ in rows)
        if reference := known.get("weir"):
            longest = min(longest, reference * CLIP)
        longest = longest or 1.0
        scale = (WIDTH - LEFT - RIGHT) / longest
        self.parts.append(text(8, self.y + 12, f"{title}", weight="bold", size=13))
        self.parts.append(text(WIDTH - 8, self.y + 12, unit, anchor="end", size=11, colour=OTHER))
        self.y += 22
        for name, value, inner in rows:
            colour = COLOURS.get(name, OTHER)
            length = min(value, longest) * scale
            self.parts.append(text(LEFT - 8, self.y + 13, name, anchor="end"))
            self.parts.append(f'<rect x="{LEFT}" y="{self.y}" width="{max(length, 1):.1f}" height="{BAR}" fill="{colour}" '
                              f'fill-opacity="{0.55 if inner is not None else 0.9}"/>')
            if inner is not None:
                self.parts.append(f'<rect x="{LEFT}" y="{self.y}" width="{max(min(inner, longest) * scale, 1):.1f}" '
                                  f'height="{BAR}" fill="{colour}"/>')
            if value > longest * 1.0001:  # cut
                x = LEFT + length - 14
                self.parts.append(f'<path d="M{x:.1f} {self.y + BAR + 2} l6 -{BAR + 4} M{x + 5:.1f} {self.y + BAR + 2} '
                                  f'l6 -{BAR + 4}" stroke="#ffffff" stroke-width="2"/>')
            self.parts.append(text(LEFT + length + 6, self.y + 13, number(value)))
            self.y += BAR + GAP
        self.y += 14

    def lines(self, title, unit, series):
        """series: {name: [(x, y)]}; x is logarithmic, y begins at 0."""
        points = [point for line in series.values() for point in line]
        height, low, high = 150, min(x for x, _ in points), max(x for x, _ in points)
        top = max(y for _, y in points) or 1.0
        span = math.log(high / low) or 1.0

        def at(x, y):
            return (LEFT + math.log(x / low) / span * (WIDTH - LEFT - RIGHT), self.y + 22 + height - y / top * height)

        self.parts.append(text(8, self.y + 12, title, weight="bold", size=13))
        self.parts.append(text(WIDTH - 8, self.y + 12, unit, anchor="end", size=11, colour=OTHER))
        bottom = self.y + 22 + height
        self.parts.append(f'<path d="M{LEFT} {self.y + 22} V{bottom} H{WIDTH - RIGHT}" fill="none" stroke="{OTHER}"/>')
        self.parts.append(text(LEFT - 8, self.y + 30, number(top), anchor="end", size=11, colour=OTHER))
        self.parts.append(text(LEFT - 8, bottom, "0", anchor="end", size=11, colour=OTHER))
        for x in sorted({x for x, _ in points}):
            self.parts.append(text(at(x, 0)[0], bottom + 14, f"{x:,}", anchor="middle", size=11, colour=OTHER))
        for name, line in series.items():
            colour = COLOURS.get(name, OTHER)
            path = " L".join(f"{px:.1f} {py:.1f}" for px, py in (at(x, y) for x, y in sorted(line)))
            self.parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
            for x, y in line:
                px, py = at(x, y)
                self.parts.append(f'<circle cx="{px:.1f}" cy="{py:.1f}" r="3" fill="{colour}"/>')
            px, py = at(*max(line))
            self.parts.append(text(px + 8, py + 4, name, size=11, colour=colour))
        self.y = bottom + 34

    def note(self, content):
        self.parts.append(text(8, self.y + 4, content, size=11, colour=OTHER))
        self.y += 16

    def svg(self):
        body = "\n".join(self.parts)
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.y}" viewBox="0 0 {WIDTH} {self.y}" '
                f'font-family="system-ui, sans-serif">\n<rect width="100%" height="100%" fill="#ffffff"/>\n{body}\n</svg>\n')
