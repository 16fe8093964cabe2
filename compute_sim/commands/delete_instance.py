"""Delete an instance with its disks; its images stay."""

from compute_sim.commands.transactions import Writing, write
from compute_sim.dependencies import Dependencies
from compute_sim.domain.instances import quota_of
from compute_sim.domain.keys import Key
from compute_sim.store import instances, quotas
from servicekit.errors import NotFound
from servicekit.names import INSTANCE


def delete_instance(deps: Dependencies, key: Key) -> None:
    """Gives the instance's quota back. Refused while an image of it is being built."""
    write(deps, {key.place}, lambda transaction: _delete(transaction, key))


def _delete(transaction: Writing, key: Key) -> None:
    connection = transaction.connection
    instance = instances.get(connection, [key]).get(key)
    if instance is None:
        raise NotFound("instance", INSTANCE.format(account=key.account, region=key.region, instance=key.id))
    instance.check_idle()
    instances.delete(connection, key)
    quotas.give_back(connection, {(key.place, kind): amount for kind, amount in quota_of(instance.disks).items()})
