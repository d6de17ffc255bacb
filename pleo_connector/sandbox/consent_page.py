"""The two HTML pages of the authorisation server: consent, and a refusal that must not redirect."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

WHAT_SCOPES_ALLOW = {
    "companies:read": "See your companies and their addresses",
    "users:read": "See your employees, with e-mail addresses",
    "accounts:read": "See your chart of accounts",
    "tag-groups:read": "See your tags and tag groups",
    "tag-group:read": "See your tags and tag groups",
    "tax-codes:read": "See your tax codes",
    "vendors:read": "See your vendors",
    "accounting-entries:read": "See your spending: every accounting entry, with notes and receipts",
    "export-jobs:read": "See your bookkeeping exports",
    "export-items:read": "See what your bookkeeping exports contain",
    "test:test": "Nothing: this scope only tries out the sign-in",
}

_HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
}

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; color: #1d1b1a; background: #f5f2f0; margin: 0; }}
main {{ max-width: 28rem; margin: 10vh auto; padding: 2rem; background: #fff; border-radius: 12px; box-shadow: 0 1px 6px #0002; }}
h1 {{ font-size: 1.3rem; margin-top: 0; }}
button {{ font: inherit; padding: .6rem 1.4rem; border-radius: 8px; border: 1px solid #1d1b1a; background: #fff; cursor: pointer; }}
button[value=allow] {{ background: #1d1b1a; color: #fff; }}
small {{ color: #6b6461; }}
</style>
</head>
<body><main>
{body}
<p><small>This is the local Pleo sandbox. Its people and money are invented.</small></p>
</main></body>
</html>
"""


def consent_page(client: str, subject: str, scopes: tuple[str, ...], ticket: str) -> HTMLResponse:
    """The page that asks the user; its form posts the ticket and the decision back to this address."""
    items = "\n".join(f"<li>{escape(WHAT_SCOPES_ALLOW.get(scope, scope))} <small>({escape(scope)})</small></li>" for scope in scopes)
    body = f"""<h1>{escape(client)} asks to read your Pleo data</h1>
<p>It asks for access to <b>{escape(subject)}</b> and would be able to:</p>
<ul>
{items}
</ul>
<form method="post" action="/oauth/authorize">
<input type="hidden" name="ticket" value="{escape(ticket)}">
<button type="submit" name="decision" value="allow">Allow</button>
<button type="submit" name="decision" value="deny">Do not allow</button>
</form>"""
    return HTMLResponse(_PAGE.format(title="Allow access?", body=body), headers=_HEADERS)


def refusal_page(reason: str) -> HTMLResponse:
    """400, for requests whose redirect address cannot be trusted."""
    body = f"<h1>This sign-in link does not work</h1>\n<p>{escape(reason)}</p>"
    return HTMLResponse(_PAGE.format(title="This sign-in link does not work", body=body), status_code=400, headers=_HEADERS)
