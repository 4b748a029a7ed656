"""Writes the Grafana dashboards under manifests/monitoring/dashboards/: one rollout, and the fleet.

    python scripts/dashboards.py            write both
    python scripts/dashboards.py --check    write nothing; exit code 1 where one of them is stale

Built with grafana-foundation-sdk, so that what Grafana would refuse does not build. A test runs every query against a real Prometheus.
"""

from __future__ import annotations

import argparse
import string
import sys
from collections.abc import Sequence
from pathlib import Path

from grafana_foundation_sdk.builders import common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models.common import BigValueGraphMode, GraphDrawStyle, LegendDisplayMode, LegendPlacement, StackingMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

FOLDER = Path(__file__).resolve().parents[1] / "manifests" / "monitoring" / "dashboards"

_SOURCE = model.DataSourceRef(type_val="prometheus", uid="${datasource}")

#: What decides: the judge where there is one, else the one serve. Chosen by its job: a replica's share must not be shown for the whole.
_DECIDES = 'job="$judge"'
_ONE = 'rollout="$rollout"'

_GREEN, _GREY, _RED = "green", "#8e8e8e", "red"

#: So that shadowproxy-judge stands before shadowproxy, and is what is shown at first.
_LAST_FIRST = model.VariableSort.ALPHABETICAL_DESC

#: Height and width of a panel in Grafana's grid of 24 columns.
_HEIGHT, _THIRD, _HALF = 8, 8, 12


def rollout() -> dashboard.Dashboard:
    """Everything about one rollout, from the verdict down to what it is made of."""
    board = _board("shadowproxy-rollout", "Shadowproxy: one rollout", "What is known of one candidate, and what it rests on.")
    board = _with_variables(board, ("rollout", f"label_values(shadowproxy_verdict_number{{{_DECIDES}}}, rollout)"))
    board = board.with_variable(
        _variable("gate", f"label_values(shadowproxy_gate_bound{{{_DECIDES}, {_ONE}}}, gate)").multi(True).include_all(True)
    )
    return (
        board.with_panel(_verdict(f"min(shadowproxy_verdict_number{{{_DECIDES}, {_ONE}}})"))
        .with_panel(
            _number("Pairs issued", f'sum(max by (boot, route) (shadowproxy_pairs_issued_total{{{_ONE}, arm!="control"}}))', "short")
        )
        .with_panel(_number("Age", f"time() - min(shadowproxy_rollout_started_seconds{{{_ONE}}})", "s"))
        .with_panel(
            _lines(
                "Bounds and margin: $gate",
                "Rolled back when the lower bound is beyond the margin, promoted when the upper bound is within.",
                (f'shadowproxy_gate_bound{{{_DECIDES}, {_ONE}, gate="$gate", slice=""}}', "{{route}} {{side}}"),
            ).repeat("gate")
        )
        .with_panel(
            _lines(
                "Evidence",
                "log10 of the e-values. Beyond the logarithm of 1/alpha a gate has spoken.",
                (f'shadowproxy_gate_e_log10{{{_DECIDES}, {_ONE}, slice=""}}', "{{gate}} {{route}} {{direction}}"),
            )
        )
        .with_panel(
            _lines(
                "Divergences per second",
                "By kind. What the control shows as well is noise.",
                (f"sum by (arm, kind) (rate(shadowproxy_divergences_total{{{_ONE}}}[$__rate_interval]))", "{{arm}} {{kind}}"),
            )
        )
        .with_panel(_latency("Time to first token, 95th percentile", "shadowproxy_ttft_seconds_bucket"))
        .with_panel(_latency("Duration, 95th percentile", "shadowproxy_duration_seconds_bucket"))
        .with_panel(
            _lines(
                "Copies by how they ended",
                "Missing answers count against the candidate.",
                (f"sum by (arm, outcome) (rate(shadowproxy_pairs_resolved_total{{{_ONE}}}[$__rate_interval]))", "{{arm}} {{outcome}}"),
                unit="reqps",
            )
        )
        .with_panel(_drops())
        .with_panel(
            _lines(
                "Spend: copies per second",
                "Each is a request that somebody pays for.",
                (f"sum by (arm) (rate(shadowproxy_pairs_issued_total{{{_ONE}}}[$__rate_interval]))", "{{arm}}"),
                unit="reqps",
            )
        )
        .with_panel(
            _lines(
                "Spend: the candidate's copies",
                "Tokens as the candidate reports them, else by length; money by the configured prices. Bounded by candidates.ceiling.",
                (f"sum(shadowproxy_spent_tokens_total{{{_ONE}}})", "tokens"),
                (f"sum(shadowproxy_spent_cost_total{{{_ONE}}})", "money"),
            )
        )
        .with_panel(
            _lines(
                "Spend: the model that judges",
                "Tokens, and money by the configured prices. Empty where no llm_judge is configured.",
                (f"sum(shadowproxy_llm_judge_tokens_total{{{_ONE}}})", "tokens"),
                (f"sum(shadowproxy_llm_judge_cost_total{{{_ONE}}})", "money"),
            )
        )
    )


def fleet() -> dashboard.Dashboard:
    """All rollouts, and the health of what carries them."""
    board = _with_variables(
        _board("shadowproxy-fleet", "Shadowproxy: the fleet", "Every rollout, and what keeps verdicts from being made.")
    )
    return (
        board.with_panel(_all_verdicts())
        .with_panel(_states())
        .with_panel(
            _lines(
                "Pairs per second by rollout",
                "What evidence comes in.",
                ('sum by (rollout) (rate(shadowproxy_pairs_issued_total{arm!="control"}[$__rate_interval]))', "{{rollout}}"),
                unit="reqps",
            )
        )
        .with_panel(
            _lines(
                "Requests by status",
                "What clients get.",
                ("sum by (status) (rate(shadowproxy_requests_total[$__rate_interval]))", "{{status}}"),
                unit="reqps",
            )
        )
        .with_panel(_drops())
        .with_panel(
            _lines(
                "Body bytes per second",
                "From clients (in) and to them (out).",
                ("sum by (direction) (rate(shadowproxy_bytes_total[$__rate_interval]))", "{{direction}}"),
                unit="Bps",
            )
        )
        .with_panel(
            _lines(
                "Client connections",
                "Open now, by pod.",
                ("sum by (instance) (shadowproxy_open_connections)", "{{instance}}"),
            )
        )
        .with_panel(
            _lines(
                "Starts of processes",
                "One each per pod is the beginning; more are restarts.",
                ("sum by (instance, role) (shadowproxy_process_starts_total)", "{{instance}} {{role}}"),
            )
        )
        .with_panel(
            _lines(
                "Looks of the judge at its source",
                "Without those that are done every verdict holds.",
                ("sum by (result) (rate(shadowproxy_source_reads_total[$__rate_interval]))", "{{result}}"),
            )
        )
        .with_panel(
            _lines(
                "Memory",
                "Of the supervising process in each pod.",
                ('process_resident_memory_bytes{job=~"shadowproxy|shadowproxy-judge"}', "{{job}} {{instance}}"),
                unit="bytes",
            )
        )
    )


# --- parts --------------------------------------------------------------------------------------------------------------


def _board(uid: str, title: str, description: str) -> dashboard.Dashboard:
    return (
        dashboard.Dashboard(title).uid(uid).description(description).tags(["shadowproxy"]).refresh("30s").time("now-6h", "now").readonly()
    )


def _with_variables(board: dashboard.Dashboard, *more: tuple[str, str]) -> dashboard.Dashboard:
    board = board.with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
    board = board.with_variable(_variable("judge", "label_values(shadowproxy_verdict_number, job)").label("Decided by").sort(_LAST_FIRST))
    for name, query in more:
        board = board.with_variable(_variable(name, query))
    return board


def _variable(name: str, query: str) -> dashboard.QueryVariable:
    refresh = model.VariableRefresh.ON_TIME_RANGE_CHANGED
    return dashboard.QueryVariable(name).query(query).datasource(_SOURCE).refresh(refresh).sort(model.VariableSort.ALPHABETICAL_ASC)


def _query(expr: str, legend: str, name: str = "A") -> prometheus.Dataquery:
    """A query; ``name`` tells it from the others of its panel."""
    return prometheus.Dataquery().expr(expr).legend_format(legend).datasource(_SOURCE).ref_id(name)


def _lines(title: str, description: str, *queries: tuple[str, str], unit: str = "short") -> timeseries.Panel:
    panel = timeseries.Panel().title(title).description(description).datasource(_SOURCE).unit(unit).height(_HEIGHT).span(_HALF)
    for name, (expr, legend) in zip(string.ascii_uppercase, queries, strict=False):
        panel = panel.with_target(_query(expr, legend, name))
    legends = common.VizLegendOptions().show_legend(True).display_mode(LegendDisplayMode.LIST).placement(LegendPlacement.BOTTOM)
    return panel.draw_style(GraphDrawStyle.LINE).legend(legends)


def _latency(title: str, metric: str) -> timeseries.Panel:
    expr = f"histogram_quantile(0.95, sum by (arm, le) (rate({metric}{{{_ONE}}}[$__rate_interval])))"
    return _lines(title, "By arm, all routes.", (expr, "{{arm}}"), unit="s")


def _drops() -> timeseries.Panel:
    expr = "sum by (reason) (rate(shadowproxy_not_mirrored_total[$__rate_interval]))"
    panel = _lines("Not mirrored, by reason", "Of all rollouts together: before a copy there is none.", (expr, "{{reason}}"), unit="reqps")
    return panel.stacking(common.StackingConfig().mode(StackingMode.NORMAL)).fill_opacity(20)


def _number(title: str, expr: str, unit: str) -> stat.Panel:
    panel = stat.Panel().title(title).datasource(_SOURCE).unit(unit).height(_HEIGHT).span(_THIRD).graph_mode(BigValueGraphMode.NONE)
    return panel.with_target(_query(expr, "").instant())


def _verdict(expr: str) -> stat.Panel:
    return _number("Verdict", expr, "short").mappings(_words()).no_value("no verdict")


def _states() -> stat.Panel:
    panel = stat.Panel().title("Rollouts by state").datasource(_SOURCE).height(_HEIGHT).span(_HALF).graph_mode(BigValueGraphMode.NONE)
    return panel.with_target(_query(f"sum by (state) (shadowproxy_verdict{{{_DECIDES}}})", "{{state}}").instant())


def _all_verdicts() -> table.Panel:
    query = _query(f"min by (candidate, rollout) (shadowproxy_verdict_number{{{_DECIDES}}})", "").instant().format(PromQueryFormat.TABLE)
    panel = table.Panel().title("Verdicts").datasource(_SOURCE).height(_HEIGHT).span(_HALF).show_header(True)
    return panel.with_target(query).mappings(_words())


def _words() -> list[model.ValueMapping]:
    """-1, 0 and 1 as people read them."""
    words = {"1": ("promote", _GREEN), "0": ("hold", _GREY), "-1": ("rollback", _RED)}
    options = {value: model.ValueMappingResult(text=text, color=color) for value, (text, color) in words.items()}
    return [model.ValueMap(options=options)]


# --- command ------------------------------------------------------------------------------------------------------------


def texts() -> dict[str, str]:
    """File name → what belongs into it."""
    boards = {"rollout.json": rollout(), "fleet.json": fleet()}
    return {name: JSONEncoder(sort_keys=True, indent=2).encode(board.build()) + "\n" for name, board in boards.items()}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; say what is stale")
    options = parser.parse_args(arguments)
    stale = 0
    for name, text in texts().items():
        path = FOLDER / name
        if options.check:
            is_stale = not path.exists() or path.read_text(encoding="utf-8") != text
            print(f"{path.name} is {'stale' if is_stale else 'fresh'}")
            stale += is_stale
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{path.name} written")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
