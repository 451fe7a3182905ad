"""The front page: the studies there are, and where to go on. Plain HTML, no script."""

from __future__ import annotations

import base64
import hashlib

from flask import Response, render_template_string

from services.api.access import may_read
from services.api.endpoint import Endpoint
from services.studies import Studies

_MOST_STUDIES = 50
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.3rem .6rem;border-bottom:1px solid #ccc}"
)
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Same Sky</title>
<style>{{ style|safe }}</style>
</head>
<body>
<h1>Same Sky</h1>
<p>Do foundation models, shown the same galaxies by different telescopes, arrange them alike?</p>
{% if rows %}
<table>
<thead><tr><th>Study</th><th>State</th><th>Embeddings</th><th>Scores</th><th>Results</th></tr></thead>
<tbody>
{% for row in rows %}
<tr>
<td><a href="/v1/studies/{{ row.id }}">{{ row.title or row.id }}</a>{% if row.simulated %} (simulated){% endif %}<br>
<time datetime="{{ row.created_at }}">{{ row.created_at }}</time></td>
<td>{{ row.state }}</td>
<td>{{ row.jobs["done"] }} of {{ row.jobs.values()|sum }}</td>
<td>{{ row.pairs["done"] }} of {{ row.pairs.values()|sum }}</td>
<td><a href="/v1/studies/{{ row.id }}/scores">scores</a>
<a href="/v1/studies/{{ row.id }}/scores?format=csv">CSV</a>
{% if row.pairs["done"] %}<a href="/v1/studies/{{ row.id }}/figures/scaling.svg">figure</a>{% endif %}</td>
</tr>
{% endfor %}
</tbody>
</table>
{% if more %}<p>The {{ rows|length }} newest; <a href="/v1/studies">the rest as JSON</a>.</p>{% endif %}
{% elif closed %}
<p>To read here, a token is needed: <code>Authorization: Bearer TOKEN</code>.</p>
{% else %}
<p>No study yet: <code>samesky submit STUDY.yaml</code>.</p>
{% endif %}
<p>
<a href="/v1/scores">All scores</a> · <a href="/v1/embeddings">embeddings</a> · <a href="/v1/models">models</a> ·
<a href="/v1/datasets">datasets</a> · <a href="/v1/openapi.json">OpenAPI</a>
</p>
</body>
</html>
"""


def show_index(studies: Studies) -> Response:
    """The newest studies as a page for people; none of them to whoever may not read."""
    closed = not may_read()
    found = [] if closed else studies.list()
    rows = [studies.progress(study) for study in found[:_MOST_STUDIES]]
    page = render_template_string(_PAGE, rows=rows, more=len(found) > len(rows), closed=closed, style=_STYLE)
    response = Response(page, mimetype="text/html")
    response.headers["Content-Security-Policy"] = (
        f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return response


ENDPOINTS = (Endpoint("GET", "/", show_index, "The front page", media=("text/html",)),)
