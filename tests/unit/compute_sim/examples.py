"""Values that the tests of compute's domain begin with."""

from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from compute_sim.domain.admission import Admission
from compute_sim.domain.images import Image, ImageDisk, ImageState, NewImage
from compute_sim.domain.instances import Disk, DiskKind, Instance, InstanceState
from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import Budget, Quota, QuotaKind
from compute_sim.domain.simulation import Simulation
from servicekit.ids import Ids
from tests.support import START

ACME = Place("acme", "cn-north-1")
WEB = ACME.key("web")
HOUR = timedelta(hours=1)


def cloud(device_name: str, size_gib: int = 40) -> Disk:
    return Disk(device_name, DiskKind.CLOUD, size_gib, f"vol-{device_name}")


def local(device_name: str) -> Disk:
    return Disk(device_name, DiskKind.LOCAL, 40)


def instance(**fields: Any) -> Instance:
    default = Instance(WEB, "web", InstanceState.RUNNING, (cloud("vda"), cloud("vdb")), START)
    return replace(default, **fields)


def image(**fields: Any) -> Image:
    """Being built, from START for an hour."""
    default = Image(
        key=ACME.key("img-1"),
        display_name="img-1",
        instance_id="web",
        labels={},
        state=ImageState.CREATING,
        disks=(ImageDisk("vda", 40, "vol-vda", "snapshot-1"),),
        left_out_disks=(),
        request_id="",
        create_time=START,
        finish_time=START + HOUR,
        fails=False,
        revision=1,
    )
    return replace(default, **fields)


def budget(images: int = 5, snapshots: int = 15, used: int = 0) -> Budget:
    limits = {QuotaKind.IMAGES: images, QuotaKind.SNAPSHOTS: snapshots}
    return Budget({(ACME, kind): Quota(ACME, kind, limit, used) for kind, limit in limits.items()})


def admission(*instances: Instance, **fields: Any) -> Admission:
    """With an instance `web` unless given others; it is START on both clocks."""
    default = Admission(
        requests={},
        instances={each.key: each for each in instances or [instance()]},
        budget=budget(),
        simulation=Simulation(timedelta(seconds=2), timedelta(seconds=1), 0.0, 0),
        ids=Ids(Random(1)),
        now=START,
        operating_now=START,
    )
    return replace(default, **fields)


def wanted(**fields: Any) -> NewImage:
    return NewImage(**{"place": ACME, "instance_id": "web", **fields})
