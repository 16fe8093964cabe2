"""QuotaService."""

import grpc

from autoimage.compute.v1 import quota_service_pb2 as pb
from autoimage.compute.v1 import quota_service_pb2_grpc
from autoimage.compute.v1.compute_pb2 import Quota as QuotaMessage
from compute_sim import convert, validation
from compute_sim.commands.read import get_quotas
from compute_sim.commands.update_quota import update_quota
from compute_sim.domain.keys import Place
from compute_sim.domain.quotas import Quota
from compute_sim.servicers.lists import page_of
from compute_sim.servicers.simulated import Simulated, simulated_rpc
from servicekit.paging import Page


class QuotaServicer(Simulated, quota_service_pb2_grpc.QuotaServiceServicer):
    @simulated_rpc(validation.get_quota)
    def GetQuota(self, request: pb.GetQuotaRequest, context: grpc.ServicerContext) -> QuotaMessage:
        place, kind = convert.quota_key(request.name)
        return convert.quota(get_quotas(self._deps, place)[kind])

    @simulated_rpc(validation.list_quotas)
    def ListQuotas(self, request: pb.ListQuotasRequest, context: grpc.ServicerContext) -> pb.ListQuotasResponse:
        place = convert.place(request.parent)
        quotas, token = page_of(request, lambda page: self._page(place, page), lambda quota: quota.kind.value)
        return pb.ListQuotasResponse(quotas=[convert.quota(quota) for quota in quotas], next_page_token=token)

    @simulated_rpc(validation.update_quota)
    def UpdateQuota(self, request: pb.UpdateQuotaRequest, context: grpc.ServicerContext) -> QuotaMessage:
        place, kind = convert.quota_key(request.quota.name)
        return convert.quota(update_quota(self._deps, place, kind, request.quota.limit))

    def _page(self, place: Place, page: Page) -> list[Quota]:
        after = page.after[0] if page.after else ""
        return [quota for quota in get_quotas(self._deps, place).values() if quota.kind.value > str(after)]
