"""Plan B inside a Python program: `PlanB` is all that there is to it."""

from proxy.middleware.plan_b import PlanB, RulesError

__all__ = ["PlanB", "RulesError"]
