"""Numbers as people read them, the same in every display."""

from penstock.models import Totals

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
