"""The report on a job's modules and servers, from what each of its processes did."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from sonic.framework.ledger import Account
from sonic.framework.report import SINK, SOURCE, ServerReport, ServerUse, server_report
from sonic.framework.steps import OffloadStep

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sonic.framework.offload import Mode
    from sonic.framework.report import ModuleReport
    from sonic.framework.share import Share
    from sonic.framework.steps import Step


def module_reports(
    shares: Sequence[Share], plan: Sequence[Step], modes: Mapping[str, Mode], *, direct: bool
) -> tuple[ModuleReport, ...]:
    """Report on each module, with the source before and the sink behind them."""
    accounts = []
    for i in range(len(plan) + 2):
        total = Account()
        for share in shares:
            total.add(share.accounts[i])
        accounts.append(total)
    reports = []
    for step, account in zip(plan, accounts, strict=False):
        offload = None
        if isinstance(step, OffloadStep):
            module, server = step.module, _served(shares, step.name, direct=direct)
            offload = account.offload(module.model, module.version, modes[step.name].value, server)
        reports.append(account.report(step.name, step.kind, filters=step.is_filter, offload=offload))
    source, sink = accounts[-2:]
    return (source.report(SOURCE, "source"), *reports, sink.report(SINK, "sink"))


def servers_used(shares: Iterable[Share]) -> tuple[ServerUse, ...]:
    """Add up what the servers did for each process."""
    total: dict[str, ServerUse] = {}
    for use in (use for share in shares for use in share.used):
        known = total.get(use.url, ServerUse(use.url, 0, 0))
        total[use.url] = ServerUse(
            use.url,
            known.completed + use.completed,
            known.failed + use.failed,
            known.in_memory + use.in_memory,
            known.over_wire + use.over_wire,
            known.wire_reason or use.wire_reason,
            {**Counter(known.models) + Counter(use.models)},
        )
    return tuple(total.values())


def fallback_models(shares: Iterable[Share]) -> dict[str, int]:
    """Add up how many requests the fallback answered for each process, by model."""
    return dict(sum((Counter(share.by_fallback) for share in shares), Counter()))


def _served(shares: Sequence[Share], name: str, *, direct: bool) -> ServerReport | None:
    """Say what the servers did for a module."""
    having = [share for share in shares if name in share.before and name in share.after]
    pairs = [(share.before[name], share.after[name]) for share in having]
    if not pairs:
        return None
    if not direct:  # all have asked the same servers, whose counters only grow
        before = min((pair[0] for pair in pairs), key=lambda counters: counters.inference_count)
        after = max((pair[1] for pair in pairs), key=lambda counters: counters.inference_count)
        return server_report(before, after)
    each = [report for report in (server_report(*pair) for pair in pairs) if report is not None]
    rows, executions = sum(report.rows for report in each), sum(report.executions for report in each)
    return ServerReport(
        rows=rows,
        executions=executions,
        mean_batch=rows / executions if executions else 0.0,
        queue_s=sum(report.queue_s for report in each),
        compute_s=sum(report.compute_s for report in each),
    )
