"""The tools that every installation has, registered."""

from plugins.tools.calculator import calculator
from plugins.tools.registry import register

register("calculator", calculator)
