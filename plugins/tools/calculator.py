"""The tool `calculator`: arithmetic that language models get wrong."""

import ast
import math
import operator
from collections.abc import Callable
from typing import Any

from plugins.tools.registry import Arguments, Context, Tool, ToolError

Number = int | float

MOST_CHARS = 500
MOST_BITS = 4096
"""Larger whole numbers are refused before they are computed: 9**9**9 would fill the memory."""

HOW_TO = "Use numbers, + - * / // % **, parentheses, pi, e, and " + "abs, round, min, max, sqrt, log, exp, sin, cos, tan, ..."


def _power(base: Number, exponent: Number) -> Number:
    is_whole = isinstance(base, int) and isinstance(exponent, int) and exponent > 0
    if is_whole and (abs(int(base)).bit_length() - 1) * exponent > MOST_BITS:
        raise ToolError(f"The result of {_short(base)} ** {_short(exponent)} is too large.")
    return base**exponent


def _factorial(number: Number) -> Number:
    if number > 400:
        raise ToolError("factorial takes whole numbers up to 400.")
    return math.factorial(operator.index(number))  # type: ignore[arg-type] # a float is a TypeError, told as such


def _round(number: Number, digits: Number = 0) -> Number:
    if not isinstance(digits, int) or abs(digits) > 400:
        raise ToolError("round takes a whole number of digits, at most 400.")
    return round(number, digits) if digits else round(number)


BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
UNARY: dict[type[ast.unaryop], Callable[[Any], Any]] = {ast.UAdd: operator.pos, ast.USub: operator.neg}
CONSTANTS: dict[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs,
    "round": _round,
    "min": lambda *numbers: min(numbers),
    "max": lambda *numbers: max(numbers),
    "sum": lambda *numbers: sum(numbers),
    "factorial": _factorial,
}
_OF_MATH = (
    "sqrt cbrt exp log log2 log10 floor ceil trunc gcd hypot degrees radians sin cos tan asin acos atan atan2 sinh cosh tanh"
)
FUNCTIONS |= {name: getattr(math, name) for name in _OF_MATH.split()}


def calculate(expression: str) -> Number:
    """The value of an arithmetic expression in Python's notation; `^` is a power too. Raises `ToolError`.

    The expression is never executed: only the listed operations on numbers are known, and each is bounded.
    """
    if len(expression) > MOST_CHARS:
        raise ToolError(f"An expression has at most {MOST_CHARS} characters.")
    try:
        tree = ast.parse(expression.strip().replace("^", "**"), mode="eval")
        return _value(tree.body)
    except ZeroDivisionError:
        raise ToolError("This divides by zero.") from None
    except OverflowError:
        raise ToolError("A number became too large.") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolError(f"This is no arithmetic expression. {HOW_TO}") from None
    except (ValueError, TypeError) as error:
        raise ToolError(f"This cannot be calculated: {error}.") from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _checked(number)
        case ast.Name(id=name) if name in CONSTANTS:
            return CONSTANTS[name]
        case ast.UnaryOp(op=op, operand=operand) if type(op) in UNARY:
            return _checked(UNARY[type(op)](_value(operand)))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in BINARY:
            return _checked(BINARY[type(op)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in FUNCTIONS:
            return _checked(FUNCTIONS[name](*(_value(each) for each in arguments)))
    raise ToolError(f"This cannot be calculated: {ast.unparse(node)[:100]}. {HOW_TO}")


def _checked(value: Any) -> Number:
    if isinstance(value, int) and value.bit_length() <= MOST_BITS:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise ToolError("The result is no number that can be told: it is too large, infinite, or not real.")


def _short(number: Number) -> str:
    return str(number) if isinstance(number, float) or abs(number) < 10**15 else f"(about 2**{number.bit_length()})"


async def _run(arguments: Arguments, context: Context) -> dict[str, Any]:
    del context
    result = calculate(arguments["expression"])
    # Beyond 2**53 JSON numbers lose digits in most clients.
    return {"result": result if isinstance(result, float) or abs(result) < 2**53 else str(result)}


def calculator() -> Tool:
    """The tool."""
    return Tool(
        name="calculator",
        description="Calculates an arithmetic expression exactly, such as (17.5 * 3 - 2) / 4 or sqrt(2) ** 10.",
        parameters={
            "type": "object",
            "properties": {"expression": {"type": "string", "description": "The expression, in Python's notation."}},
            "required": ["expression"],
            "additionalProperties": False,
        },
        run=_run,
    )
