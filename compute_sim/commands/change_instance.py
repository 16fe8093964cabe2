"""Start and stop an instance, give it disks and take them away."""

from collections.abc import Callable
from dataclasses import replace

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.instances import Disk, DiskKind, Instance, quota_of_disk
from compute_sim.domain.keys import Key
from compute_sim.domain.quotas import Budget
from compute_sim.store import instances, quotas
from compute_sim.store.schema import requests
from servicekit.errors import NotFound
from servicekit.idempotency import Idempotency, remember, remembered
from servicekit.names import INSTANCE

_Change = Callable[[Writing, Instance], Instance]


def start_instance(deps: Dependencies, key: Key) -> Instance:
    """Starting a running instance changes nothing."""
    return _change(deps, key, lambda transaction, instance: _set_state(transaction, instance.started()))


def stop_instance(deps: Dependencies, key: Key) -> Instance:
    """Stopping a stopped instance changes nothing."""
    return _change(deps, key, lambda transaction, instance: _set_state(transaction, instance.stopped()))


def attach_disk(deps: Dependencies, key: Key, disk: Disk, asked: Idempotency) -> Instance:
    """A cloud disk takes disk quota, and gets an id. A repeat of the same request answers the instance as it is now."""

    def attach(transaction: Writing, instance: Instance) -> Instance:
        if remembered(transaction.connection, requests, asked, transaction.now) is not None:
            return instance
        own = replace(disk, disk_id=deps.ids.new("vol")) if disk.kind is DiskKind.CLOUD else disk
        changed = instance.with_disk(own)
        budget = Budget(transaction.quotas)
        budget.take(key.place, quota_of_disk(own))
        instances.attach(transaction.connection, key, own)
        quotas.take(transaction.connection, budget.taken)
        remember(transaction.connection, requests, asked, disk.device_name, transaction.now)
        return changed

    return _change(deps, key, attach)


def detach_disk(deps: Dependencies, key: Key, device_name: str) -> Instance:
    """The disk is deleted, and its quota given back. A disk that is not there changes nothing."""

    def detach(transaction: Writing, instance: Instance) -> Instance:
        changed, disk = instance.without_disk(device_name), instance.disk(device_name)
        if disk is not None:
            instances.detach(transaction.connection, key, device_name)
            given_back = {(key.place, kind): amount for kind, amount in quota_of_disk(disk).items()}
            quotas.give_back(transaction.connection, given_back)
        return changed

    return _change(deps, key, detach)


def _change(deps: Dependencies, key: Key, change: _Change) -> Instance:
    def work(transaction: Writing) -> Instance:
        instance = instances.get(transaction.connection, [key]).get(key)
        if instance is None:
            name = INSTANCE.format(account=key.account, region=key.region, instance=key.id)
            raise NotFound("instance", name)
        return change(transaction, instance)

    return write(deps, {key.place}, work)


def _set_state(transaction: Writing, changed: Instance) -> Instance:
    instances.set_state(transaction.connection, changed.key, changed.state)
    return changed
