"""What must hold, whatever happens: each function yields what breaks it, in words.

They know the contract and what users were told, and nothing of how the services work. Where a restored database makes a
promise void, the ledger knows since when, and the function says so.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from itertools import pairwise

from servicekit.timestamps import to_micros
from tests.simulation.facts import Facts, Run, TaskFact
from tests.simulation.kernel import HOUR, SECOND
from tests.simulation.ledger import KnownPolicy, Ledger, Restoration
from tests.simulation.machines import START

COMPUTE, LOG, POLICY, SCHEDULER = "compute_sim", "log_service", "policy_service", "scheduler_service"
LEASE = 30 * SECOND
_SLACK = 15 * 60 * SECOND
"""A point that came so shortly before the end may still be on its way."""

Invariant = Callable[[Facts, Ledger], Iterator[str]]


def one_policy_per_instance(facts: Facts, ledger: Ledger) -> Iterator[str]:
    for instance, number in Counter(instance for _, instance, _ in facts.linked).items():
        if number > 1:
            yield f"{instance} has {number} policies"
    counted = Counter(uid for uid, _, _ in facts.linked)
    for uid, (name, _, instances) in facts.policies.items():
        if counted[uid] != instances:
            yield f"{name} says {instances} instances, and has {counted[uid]}"


def one_execution_per_point(facts: Facts, ledger: Ledger) -> Iterator[str]:
    found: Counter[tuple[str, str | int]] = Counter()
    found.update((run.policy_uid, run.scheduled_time) for run in facts.runs if run.kind in ("SCHEDULED", "CATCH_UP"))
    found.update((run.policy_uid, run.run_id) for run in facts.runs if run.kind == "RUN_NOW")
    for key, number in found.items():
        if number > 1:
            yield f"{number} executions of policy {key[0]} at {key[1]}"


def at_most_one_image(facts: Facts, ledger: Ledger) -> Iterator[str]:
    for (execution, instance), names in ledger.built.items():
        if execution and len(names) > 1:
            yield f"{len(names)} images of {instance} by {execution}: {sorted(names)}"


def quota_is_what_exists(facts: Facts, ledger: Ledger) -> Iterator[str]:
    exists: Counter[tuple[str, str]] = Counter()
    for image in facts.images:
        if image.holds_quota:
            exists[image.place, "images"] += 1
            exists[image.place, "snapshots"] += image.snapshots
    exists.update((name.partition("/instances/")[0], "instances") for name in facts.instances)
    exists.update({(place, "disks"): number for place, number in facts.disks.items()})
    for key, used in facts.used.items():
        if used != exists[key]:
            yield f"{key[1]} of {key[0]}: {used} used, {exists[key]} exist"


def nothing_is_added_beyond_a_quota(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """What is used beyond a limit was there when that was set."""
    for (place, kind), limit in facts.limits.items():
        used, was_there = facts.used[place, kind], ledger.used_when_set.get((place, kind), 0)
        if limit is not None and used > max(limit, was_there) and f"{place}/quotas/{kind}" not in ledger.busy:
            yield f"{kind} of {place}: {used} used of {limit}; {was_there} were when that was set"


def no_ended_task_has_a_live_image(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """But for images that come after their task has timed out."""
    alive = {image.request_id: image for image in facts.images if image.lives}
    for task in facts.tasks:
        if task.state not in ("CANCELLED", "SKIPPED", "FAILED") or task.reason == "BUILD_TIMEOUT":
            continue
        image = alive.get(task.request_id)
        if image is not None and not ledger.restored(COMPUTE):
            yield f"{_shown(task)} is {task.state} ({task.reason}), but {image.name} lives"


def counts_are_those_of_the_tasks(facts: Facts, ledger: Ledger) -> Iterator[str]:
    tasks: dict[str, list[TaskFact]] = defaultdict(list)
    for task in facts.tasks:
        tasks[task.run.uid].append(task)
    for run in facts.runs:
        states = Counter(task.state.lower() for task in tasks[run.uid])
        wanted = {
            "total": len(tasks[run.uid]),
            "open": states["pending"] + states["building"],
            **{state: states[state] for state in ("succeeded", "failed", "skipped", "cancelled")},
        }
        if run.counts != wanted:
            yield f"{run.name} counts {run.counts}, its tasks are {wanted}"
        if run.ended != (run.state != "RUNNING") or run.ended != (wanted["open"] == 0):
            yield f"{run.name} is {run.state} with {wanted['open']} open tasks"


def no_build_after_goodbye(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """No build is accepted more than a task lease after a user was told of a deletion, move or disassociation."""
    farewells = {farewell.association_uid: farewell for farewell in ledger.known.farewells}
    tasks = {task.request_id: task for task in facts.tasks}
    for image in facts.images:
        task = tasks.get(image.request_id)
        farewell = farewells.get(task.association_uid) if task is not None else None
        if farewell is None or task is None:
            continue
        late = ledger.compute_clock.when(image.create_time) - farewell.told
        if late > LEASE + ledger.largest_skew + SECOND:
            yield f"{image.name} was begun {late / SECOND:.1f} s after {farewell.why}: {_shown(task)}"


def twelve_hours_apart(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """But for what a restored policy service has forgotten: an edit that is lost is not what the next is judged by."""
    points: dict[str, set[int]] = defaultdict(set)
    for run in facts.runs:
        if run.kind in ("SCHEDULED", "CATCH_UP"):
            points[run.policy_uid].add(run.scheduled_time)
    clock = ledger.policy_clock
    forgotten = [(clock.shown(each.copied), clock.shown(each.restored)) for each in ledger.restored(POLICY)]
    for uid, times in points.items():
        ordered = sorted(times)
        for earlier, later in pairwise(ordered):
            lost = any(first <= later and earlier <= last for first, last in forgotten)
            if later - earlier < 12 * HOUR and not lost:
                yield f"policy {uid} ran at {earlier} and again at {later}"


def acknowledged_changes_last(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """Policies, their states and associations are as users were told, but where a change is just under way."""
    for uid, known in ledger.known.policies.items():
        found = facts.policies.get(uid)
        if known.name in ledger.busy:
            continue
        if (found is None) != known.deleted:
            yield f"{known.name} ({uid}) " + ("is gone" if found is None else "lives, although it was deleted")
        elif found is not None and (found[1] is not None) != known.enabled:
            yield (
                f"{known.name} is " + ("disabled" if known.enabled else "enabled") + ", against what its user was told"
            )
    linked = {instance: (uid, association) for uid, instance, association in facts.linked}
    for instance in ledger.instances - ledger.busy:
        if linked.get(instance) != ledger.known.associations.get(instance):
            yield f"{instance} is linked to {linked.get(instance)}, told: {ledger.known.associations.get(instance)}"


def every_point_has_one_outcome(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """Every point at which a policy was enabled has an execution or lies in a record of missed points, and no other."""
    runs: dict[str, list[Run]] = defaultdict(list)
    for run in facts.runs:
        runs[run.policy_uid].append(run)
    for uid, policy in ledger.known.policies.items():
        yield from _outcomes_of(policy, runs[uid], facts, ledger)
    strangers = runs.keys() - ledger.known.policies.keys() - ledger.forgotten_policies
    for uid in strangers:
        yield f"an execution of an unknown policy {uid}"


def _outcomes_of(policy: KnownPolicy, runs: list[Run], facts: Facts, ledger: Ledger) -> Iterator[str]:
    executed = Counter(run.scheduled_time for run in runs if run.kind in ("SCHEDULED", "CATCH_UP"))
    missed: Counter[int] = Counter()
    waived = [_waived(restoration.copied, restoration.restored, ledger) for restoration in _of_schedule(ledger)]

    def is_waived(first: int, last: int) -> bool:
        return any(begin <= first and last <= end for begin, end in waived)

    for run in runs:
        if run.points is not None:
            inside = _points_of(policy, *run.points)
            missed.update(inside)
            if not inside and not is_waived(*run.points[:2]):
                yield f"{policy.name}: {run.name} tells of points that its schedule never had: {run.points}"
    required, allowed = _points(policy, facts.now, ledger)
    for point in sorted({*required, *executed, *missed}):
        outcomes = executed[point] + missed[point]
        if is_waived(point, point):
            continue
        if point in required and outcomes == 0:
            yield f"{policy.name}: nothing is told of its point {_time(point)}"
        if outcomes > 1:
            yield f"{policy.name}: {executed[point]} executions and {missed[point]} missed records of {_time(point)}"
        if outcomes and point not in allowed:
            yield f"{policy.name}: something was run or missed at {_time(point)}, when it was not enabled"


def _points_of(policy: KnownPolicy, first: int, last: int, count: int) -> Collection[int]:
    """The points of a record, if one of the policy's schedules has exactly so many from the first to the last."""
    for interval in {span.interval for span in policy.spans if (first - span.first_time) % span.interval == 0}:
        points = range(first, last + 1, interval)
        if len(points) == count and points[-1] == last:
            return points
    return ()


def _of_schedule(ledger: Ledger) -> list[Restoration]:
    return ledger.restored(POLICY) + ledger.restored(SCHEDULER)


def _waived(copied: int, restored: int, ledger: Ledger) -> tuple[int, int]:
    """The points of a time that a database forgot; those of a little before may have been on their way then."""
    first, last = ledger.policy_clock.range(max(0, copied - HOUR), restored)
    return first, last


def _points(policy: KnownPolicy, now: int, ledger: Ledger) -> tuple[set[int], set[int]]:
    """Those that must have an outcome, and those that may."""
    required: set[int] = set()
    allowed: set[int] = set()
    for span in policy.spans:
        clock = ledger.policy_clock
        low, peak = clock.range(span.opened, now if span.closed is None else span.closed)
        if span.closing is None or span.closed is None:
            certain = clock.shown(now) - _SLACK
        else:
            certain, _ = clock.range(span.closing, span.closed)
        required.update(span.points(certain))
        allowed.update(span.possible_points(low, peak))
    return required, allowed


def every_run_now_is_run(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """A run that was accepted has an execution, or lies in a record of missed points."""
    found = {run.run_id for run in facts.runs if run.kind == "RUN_NOW"}
    poisoned = {run.policy_uid for run in facts.runs if run.reason == "POISONED"}
    if _of_schedule(ledger):
        return
    for run_id, policy_uid in ledger.runs.items():
        if run_id not in found and policy_uid not in poisoned:
            yield f"run {run_id} of policy {policy_uid} was accepted and has no execution"
    for run_id in found - ledger.runs.keys():
        yield f"run {run_id} was never asked for"


def every_success_has_its_image(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """Unless its user has deleted it, or a restored database has lost it."""
    alive = {image.name for image in facts.images if image.state == "AVAILABLE"}
    if ledger.restored(COMPUTE):
        return
    for task in facts.tasks:
        if task.state == "SUCCEEDED" and task.image not in alive | ledger.deleted_images.keys() | ledger.retiring:
            yield f"{_shown(task)} succeeded, but there is no {task.image}"


def retention_keeps_what_it_must(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """It removes neither the newest good image of a policy and instance, nor a protected one, nor somebody else's."""
    for gone in ledger.retired:
        if not gone.newer_exists and not gone.newest_may_go:
            yield f"{gone.image}, the newest good one of {gone.instance} by {gone.policy}, was removed by retention"
        if gone.protected:
            yield f"{gone.image} was protected, and removed by retention"
        if gone.foreign:
            yield f"{gone.image} is nobody's task's, and was removed by retention"


def every_image_has_its_task(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """No automatic image is there that no task knows of, unless the scheduler's database was restored."""
    known = {task.request_id for task in facts.tasks}
    if ledger.restored(SCHEDULER):
        return
    for image in facts.images:
        if image.lives and image.request_id not in known | ledger.foreign_requests:
            yield f"{image.name} by {image.execution} is no task's"


def every_log_entry_once(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """None twice, none too many; and none is missing once all are delivered, unless a database was restored."""
    for entry, number in facts.entries.items():
        if number > 1:
            yield f"{number} log entries {entry}"
    wanted = set(_wanted_entries(facts))
    lost = ledger.restored(LOG) or ledger.restored(SCHEDULER)
    if not ledger.restored(SCHEDULER):
        for entry in facts.entries.keys() - wanted:
            yield f"a log entry of what did not happen: {entry}"
    missing = wanted - facts.entries.keys()
    if not lost and facts.undelivered == 0 and len(missing) != facts.dropped:
        for entry in sorted(missing):
            yield f"no log entry {entry}"


def _wanted_entries(facts: Facts) -> Iterator[tuple[str, str, str]]:
    for run in facts.runs:
        if not run.log_topic:
            continue
        if run.points is not None:
            yield run.name, "", "EXECUTION_MISSED"
            continue
        yield run.name, "", "EXECUTION_STARTED"
        if run.ended:
            yield run.name, "", "EXECUTION_ENDED"
    for task in facts.tasks:
        if not task.run.log_topic:
            continue
        if task.begun:
            yield task.run.name, task.instance, "IMAGE_TASK_STARTED"
        if task.ended:
            yield task.run.name, task.instance, "IMAGE_TASK_ENDED"
        if task.late:
            yield task.run.name, task.instance, "LATE_IMAGE"


def everything_drains(facts: Facts, ledger: Ledger) -> Iterator[str]:
    """Once faults have stopped for as long as a start window, a build and two leases may take."""
    for task in facts.tasks:
        if not task.ended:
            yield f"{_shown(task)} is {task.state} ({task.phase}, {task.reason})"
    if facts.triggers:
        yield f"{facts.triggers} triggers are not taken up"
    if facts.undelivered:
        yield f"{facts.undelivered} log entries are not delivered"


def _shown(task: TaskFact) -> str:
    return f"{task.run.name}/imageTasks/{task.instance.rpartition('/')[2]}"


def _time(point: int) -> str:
    hours, rest = divmod(point - to_micros(START), HOUR)
    return f"day {hours // 24 + 1} {hours % 24:02}:{rest // (60 * SECOND):02}"


ALWAYS: tuple[Invariant, ...] = (
    one_policy_per_instance,
    one_execution_per_point,
    at_most_one_image,
    quota_is_what_exists,
    nothing_is_added_beyond_a_quota,
    no_ended_task_has_a_live_image,
    counts_are_those_of_the_tasks,
    no_build_after_goodbye,
    twelve_hours_apart,
    retention_keeps_what_it_must,
    acknowledged_changes_last,
)
AT_THE_END: tuple[Invariant, ...] = (
    *ALWAYS,
    everything_drains,
    every_point_has_one_outcome,
    every_run_now_is_run,
    every_success_has_its_image,
    every_image_has_its_task,
    every_log_entry_once,
)
