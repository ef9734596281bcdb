"""Alerts and dashboards ask for metrics that exist, by labels that they have, and every alert has its runbook."""

from __future__ import annotations

import json
import re

import pytest
import yaml

from kai_py.telemetry.metrics import Metrics

from .charts import CHART, EVERYTHING, NAMESPACE, ROOT, of_kind, one_of, render

RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARDS = sorted((CHART / "dashboards").glob("*.json"))
#: What Prometheus adds, and what histograms have.
SCRAPED = {"job", "namespace", "pod", "le"}

_METRIC = re.compile(r"\b((?:kai_py|process)_\w+)")
_GROUPING = re.compile(r"\b(?:by|on) \(([^)]*)\)")
_MATCHER = re.compile(r"(\w+)(?:=~|!~|!=|=)\"")


def exported():
    """Labels by the name of a series."""
    found = {name: set() for name in ("process_cpu_seconds_total", "process_resident_memory_bytes")}
    for families in Metrics().families.values():
        for family in families:
            ends = ("_bucket", "_sum", "_count") if family.kind == "histogram" else ("",)
            found |= {f"{family.name}{end}": set(family.labels) for end in ends}
    return found


SERIES = exported()


def alerts():
    document = yaml.safe_load((CHART / "rules" / "alerts.yaml").read_text())
    return [rule for group in document["groups"] for rule in group["rules"]]


def expressions():
    for alert in alerts():
        yield pytest.param(alert["expr"], id=alert["alert"])
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                yield pytest.param(target["expr"], id=f"{path.stem}: {panel['title']} {target['refId']}")


@pytest.mark.parametrize("expression", list(expressions()))
def test_an_expression_asks_for_what_there_is(expression):
    names = set(_METRIC.findall(expression))
    assert names
    assert sorted(names - SERIES.keys()) == []
    known = SCRAPED.union(*(SERIES[name] for name in names))
    grouped = {label.strip() for group in _GROUPING.findall(expression) for label in group.split(",")}
    assert (grouped | set(_MATCHER.findall(expression))) - known == set()
    assert expression.count("(") == expression.count(")")
    assert expression.count("{") == expression.count("}")


def test_every_metric_that_is_worth_having_is_on_a_dashboard_or_in_an_alert():
    """Whoever declares one says here why nobody looks at it."""
    asked = {name for expression in expressions() for name in _METRIC.findall(expression.values[0])}
    unseen = {
        "kai_py_devices",  # of whichever drivers there are; kai_py_gpus has those that queues pay for
        "kai_py_nodes",  # the ratio of fragmentation says it in one number
        "kai_py_settings_timestamp_seconds",  # the digest shows a change
        "kai_py_shadow_differences",  # only there while somebody tries settings out, and looks
        "kai_py_shadow_faults",
    }
    for families in Metrics().families.values():
        for family in families:
            seen = any(name.startswith(family.name) for name in asked)
            assert seen != (family.name in unseen), family.name


def test_legends_use_labels_that_the_expression_keeps():
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text())["panels"]:
            for target in panel["targets"]:
                used = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
                grouped = {one.strip() for group in _GROUPING.findall(target["expr"]) for one in group.split(",")}
                assert used <= (grouped or SCRAPED), (path.stem, panel["title"])


def test_every_alert_has_a_runbook_and_every_runbook_an_alert():
    names = {alert["alert"] for alert in alerts()}
    assert len(names) == len(alerts()) >= 10
    assert {path.stem for path in RUNBOOKS.glob("*.md")} - {"README"} == names
    for alert in alerts():
        assert alert["annotations"]["runbook_url"] == f"RUNBOOKS/{alert['alert']}.md"
        assert alert["labels"]["severity"] in ("critical", "warning")
        assert {"summary", "description"} <= alert["annotations"].keys()


def test_runbooks_say_what_it_means_and_what_to_do():
    index = (RUNBOOKS / "README.md").read_text()
    for alert in alerts():
        text = (RUNBOOKS / f"{alert['alert']}.md").read_text()
        for heading in ("## What it means", "## What to look at", "## What to do"):
            assert heading in text, (alert["alert"], heading)
        assert f"({alert['alert']}.md)" in index


def test_rules_are_about_this_installation_and_link_where_values_say():
    rule = one_of(render(EVERYTHING), "PrometheusRule")
    (group,) = rule["spec"]["groups"]
    for rendered, written in zip(group["rules"], alerts(), strict=True):
        scope = f'namespace="{NAMESPACE}",job="kai-py"'
        assert rendered["expr"] == written["expr"].replace("SCOPE", scope)
        assert rendered["annotations"]["runbook_url"].endswith(f"/docs/runbooks/{written['alert']}.md")
        assert rendered["annotations"]["summary"] == written["annotations"]["summary"]


def test_the_monitor_scrapes_the_service():
    objects = render(EVERYTHING)
    service, monitor = one_of(objects, "Service"), one_of(objects, "ServiceMonitor")
    assert monitor["spec"]["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in [port["name"] for port in service["spec"]["ports"]]
    assert monitor["metadata"]["labels"]["release"] == "prometheus"
    assert of_kind(render(), "ServiceMonitor") == of_kind(render(), "PrometheusRule") == []


def test_dashboards_are_found_by_grafana():
    found = {
        one["metadata"]["name"]: one
        for one in of_kind(render(EVERYTHING), "ConfigMap")
        if "dashboard" in one["metadata"]["name"]
    }
    assert set(found) == {f"kai-py-dashboard-{path.stem}" for path in DASHBOARDS}
    for path in DASHBOARDS:
        one = found[f"kai-py-dashboard-{path.stem}"]
        assert one["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert json.loads(one["data"][path.name]) == json.loads(path.read_text())


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap_and_say_what_they_show(path):
    panels = json.loads(path.read_text())["panels"]
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24
    assert all(panel["description"] for panel in panels)
