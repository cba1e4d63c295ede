from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from ..access import Rules

_SCHEME = "token"


def describe_access(app: FastAPI, rules: Rules, *, open_here: bool) -> None:
    """Have the API's description say which role each route needs.

    open_here : whether requests from this machine need no token
    """
    describe = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = describe()
            schema.setdefault("components", {}).setdefault("securitySchemes", {})[_SCHEME] = {
                "type": "http",
                "scheme": "bearer",
                "description": "`atomstream keys token add NAME --role ROLE` makes one; this machine itself may do without.",
            }
            for path, operations in schema["paths"].items():
                for method, operation in operations.items():
                    _describe(operation, rules, method.upper(), path, open_here=open_here)
        return app.openapi_schema or {}

    app.openapi = described  # type: ignore[method-assign]


def _describe(operation: dict[str, Any], rules: Rules, method: str, path: str, *, open_here: bool) -> None:
    role = rules.of(method, path).role
    line = "Answers anybody." if role is None else f"Needs the role **{role}**."
    operation["description"] = f"{operation['description']}\n\n{line}" if "description" in operation else line
    operation["x-role"] = None if role is None else str(role)
    if role is None:
        operation["security"] = []
        return
    operation["security"] = [{_SCHEME: []}, {}] if open_here else [{_SCHEME: []}]
    for status, meaning in (
        ("401", "no token, or none that is good"),
        ("403", "the token's role does not reach"),
        ("429", "too many failures from this address"),
    ):
        operation["responses"].setdefault(status, {"description": meaning})
