"""Numbers as people read them, the same in every display."""

from penstock.events import Money, ScopeStatus, Snapshot
from penstock.models import Totals
from penstock.redaction import printable_line
from penstock.spread import median_of

_SYMBOLS = {"USD": "$", "CNY": "¥", "EUR": "€", "GBP": "£"}


def count(number: int) -> str:
    """12345 is "12,345"."""
    return f"{number:,}"


def rate(per_s: float) -> str:
    """Whole numbers from ten on, one decimal below."""
    return f"{per_s:,.0f}" if per_s >= 9.95 else f"{per_s:.1f}"


def money(amount: float, currency: str) -> str:
    """Cents from one unit on, a hundredth of a cent below: "$12.34", "$0.0042"."""
    digits = f"{amount:,.2f}" if amount >= 1 else f"{amount:.4f}" if amount else "0"
    symbol = _SYMBOLS.get(currency)
    return f"{symbol}{digits}" if symbol else f"{digits} {currency}"


def cost(totals: Totals) -> str:
    """What the answers cost, as far as prices are known."""
    if not totals.unpriced:
        return money(totals.cost, totals.currency)
    return f"over {money(totals.cost, totals.currency)}" if totals.cost else "unknown"


def is_unpriced(totals: Totals) -> bool:
    """Whether there are answers and a price of none of them is known: tokens are all there is to count then."""
    return bool(totals.unpriced) and not totals.cost


def used(totals: Totals) -> str:
    """The tokens of all answers: "12,000 input and 3,400 output tokens"."""
    return f"{count(totals.usage.input_tokens)} input and {count(totals.usage.output_tokens)} output tokens"


def of_total(snapshot: Snapshot) -> str:
    """Such as " of 500", or " of about 514" where rows were not counted; nothing where nothing is known."""
    if snapshot.total is None:
        return ""
    return f" of {'about ' if snapshot.total_is_estimate else ''}{count(snapshot.total)}"


def streamed(totals: Totals) -> str | None:
    """The medians of streamed answers: "first token after 412 ms, then 41 tokens/s (medians)"; None without one."""
    if (ttft_ms := median_of(totals.ttft_ms)) is None:
        return None
    tokens_per_s = median_of(totals.tokens_per_s)
    first = f"{ttft_ms:.3g} ms" if ttft_ms < 1000 else duration(ttft_ms / 1000)
    then = "" if tokens_per_s is None else f", then {rate(tokens_per_s)} tokens/s"
    return f"first token after {first}{then} (medians)"


def unknown(totals: Totals) -> str:
    """What may have been billed: "2 attempts may have been billed without an answer, at most $0.12"."""
    attempts = f"{count(totals.unknown)} attempt" if totals.unknown == 1 else f"{count(totals.unknown)} attempts"
    amount = f", at most {money(totals.unknown_cost, totals.currency)}" if totals.unknown_cost else ""
    return f"{attempts} may have been billed without an answer{amount}"


def of_budget(totals: Totals, held: Money | None) -> str:
    """What the answers cost, and of how much where there is a budget: "$2.00 of $10.00"."""
    if held is None or held.budget is None:
        return cost(totals)
    spent = cost(totals) if totals.cost or totals.unpriced else money(0.0, held.currency)
    return f"{spent} of {money(held.budget, held.currency)}"


def beside_spent(held: Money) -> list[str]:
    """What there is beside what was spent: ["reserved $0.42", "unknown $0.10", "projected $31.00"]."""
    more = held.projected if held.projected != held.spent else None
    amounts = (("reserved", held.reserved), ("unknown", held.unknown), ("projected", more))
    return [f"{name} {money(amount, held.currency)}" for name, amount in amounts if amount]


def scope(status: ScopeStatus) -> str:
    """One scope on a line: "openai · key 1 · gpt-4o: 34 of 60 in flight, 600 rpm; limit: …"."""
    name = " · ".join(part for part in (status.endpoint, status.key, status.model) if part)
    limits = [f"{value:,.0f} {unit}" for unit, value in (("rpm", status.rpm), ("tpm", status.tpm)) if value is not None]
    calls = f"{count(status.in_flight)} of {count(status.limit)} in flight"
    return printable_line(f"{name}: {', '.join([calls, *limits])}; limit: {status.binds}")


def duration(seconds: float) -> str:
    """The two largest units that matter: "4.2 s", "42 s", "3 min 20 s", "2 h 5 min", "3 d 4 h"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    for large, small, factor, limit in (("min", "s", 60, 3600), ("h", "min", 3600, 86_400)):
        if whole < limit:
            return f"{whole // factor} {large} {whole % factor // (factor // 60)} {small}"
    return f"{whole // 86_400} d {whole % 86_400 // 3600} h"
