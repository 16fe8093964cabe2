"""Delete a snapshot that is not part of an image. Here every one is."""

from typing import NoReturn

from compute_sim.commands.read import get_snapshot
from compute_sim.dependencies import Dependencies
from compute_sim.domain.errors import SnapshotInUse
from compute_sim.domain.keys import Key
from servicekit.names import IMAGE, SNAPSHOT


def delete_snapshot(deps: Dependencies, key: Key) -> NoReturn:
    """Raises NotFound, or SnapshotInUse: the snapshots of this compute are made with an image, and go with it.

    The contract has the method for drivers of machines that make snapshots by themselves as well.
    """
    snapshot = get_snapshot(deps, key)
    account, region, snapshot_id = key
    raise SnapshotInUse(
        SNAPSHOT.format(account=account, region=region, snapshot=snapshot_id),
        IMAGE.format(account=account, region=region, image=snapshot.image_id),
    )
