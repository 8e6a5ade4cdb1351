"""Salesforce formulas: validation rules, formula fields and default values.

`compile_formula(text)` parses once and gives a `Formula`, a tree of closures that is evaluated for
each save. What the language can do is listed in `functions.py`; anything else is refused by name
when the formula is compiled, never at the first save.

Values are `int | float | Decimal | str | bool | date | datetime (UTC) | None`; results hold no `Decimal`.
Not simulated: global variables (`$User`, `$Setup`, ...), time-of-day values, currency conversion, the limit
on compiled size, multi-select picklists, images and hyperlinks. A division by zero gives null, where an org
would refuse the save with a formula error.
"""

from sfsync.simulators.org.formula.compiler import Formula, compile_formula
from sfsync.simulators.org.formula.values import FormulaContext, FormulaError

__all__ = ["Formula", "FormulaContext", "FormulaError", "compile_formula"]
