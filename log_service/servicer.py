"""autoimage.log.v1.LogService on the wire."""

from collections.abc import Mapping

import grpc
from google.protobuf.empty_pb2 import Empty
from google.rpc.status_pb2 import Status

from autoimage.log.v1 import log_service_pb2_grpc
from autoimage.log.v1.log_pb2 import LogEntry, LogSet, LogTopic
from autoimage.log.v1.log_service_pb2 import (
    BatchGetLogTopicsRequest,
    BatchGetLogTopicsResponse,
    CreateLogSetRequest,
    CreateLogTopicRequest,
    DeleteLogSetRequest,
    DeleteLogTopicRequest,
    GetLogSetRequest,
    GetLogTopicRequest,
    ListLogEntriesRequest,
    ListLogEntriesResponse,
    ListLogSetsRequest,
    ListLogSetsResponse,
    ListLogTopicsRequest,
    ListLogTopicsResponse,
    LogTopicResult,
    TailLogEntriesRequest,
    TailLogEntriesResponse,
    UpdateLogSetRequest,
    UpdateLogTopicRequest,
    WriteLogEntriesRequest,
    WriteLogEntriesResponse,
)
from log_service import convert, validation
from log_service.commands import queries
from log_service.commands.create_log_set import create_log_set
from log_service.commands.create_log_topic import create_log_topic
from log_service.commands.delete_log_set import delete_log_set
from log_service.commands.delete_log_topic import delete_log_topic
from log_service.commands.tail_log_entries import begin_tail, read_tail
from log_service.commands.update_log_set import update_log_set
from log_service.commands.update_log_topic import update_log_topic
from log_service.commands.write_log_entries import write_log_entries
from log_service.dependencies import Dependencies
from log_service.domain import logs as domain
from log_service.domain.errors import LogTopicNotFound
from log_service.domain.logs import NewEntry
from log_service.domain.names import LogTopicName
from servicekit.errors import InvalidArgument
from servicekit.idempotency import Idempotency
from servicekit.paging import Key, next_token, parse_page
from servicekit.rpc import invalid, rpc, violations
from servicekit.status import to_status
from servicekit.streams import Source, stream


class LogServicer(log_service_pb2_grpc.LogServiceServicer):
    def __init__(self, deps: Dependencies, regions: frozenset[str]) -> None:
        self._deps = deps
        self.regions = regions

    @rpc(validation.create_log_set)
    def CreateLogSet(self, request: CreateLogSetRequest, context: grpc.ServicerContext) -> LogSet:
        log_set = create_log_set(self._deps, convert.new_log_set(request), Idempotency.of(request))
        return convert.log_set(log_set)

    @rpc(validation.log_set_name)
    def GetLogSet(self, request: GetLogSetRequest, context: grpc.ServicerContext) -> LogSet:
        return convert.log_set(queries.get_log_set(self._deps, convert.log_set_name(request.name)))

    @rpc(validation.list_log_sets)
    def ListLogSets(self, request: ListLogSetsRequest, context: grpc.ServicerContext) -> ListLogSetsResponse:
        query = {"parent": request.parent}
        page = parse_page(request.page_size, request.page_token, query)
        after = str(page.after[0]) if page.after else ""
        found = queries.list_log_sets(self._deps, convert.place(request.parent), after, page.size + 1)
        log_sets, more = page.cut(found)
        return ListLogSetsResponse(
            log_sets=map(convert.log_set, log_sets),
            next_page_token=next_token((log_sets[-1].name.log_set,), query) if more else "",
        )

    @rpc(validation.update_log_set)
    def UpdateLogSet(self, request: UpdateLogSetRequest, context: grpc.ServicerContext) -> LogSet:
        return convert.log_set(update_log_set(self._deps, convert.log_set_change(request)))

    @rpc(validation.log_set_name)
    def DeleteLogSet(self, request: DeleteLogSetRequest, context: grpc.ServicerContext) -> Empty:
        delete_log_set(self._deps, convert.log_set_name(request.name))
        return Empty()

    @rpc(validation.create_log_topic)
    def CreateLogTopic(self, request: CreateLogTopicRequest, context: grpc.ServicerContext) -> LogTopic:
        topic = create_log_topic(self._deps, convert.new_log_topic(request), Idempotency.of(request))
        return convert.log_topic(topic)

    @rpc(validation.log_topic_name)
    def GetLogTopic(self, request: GetLogTopicRequest, context: grpc.ServicerContext) -> LogTopic:
        return convert.log_topic(queries.get_log_topic(self._deps, convert.log_topic_name(request.name)))

    @rpc(validation.batch_get_log_topics, per_item="names")
    def BatchGetLogTopics(
        self, request: BatchGetLogTopicsRequest, context: grpc.ServicerContext
    ) -> BatchGetLogTopicsResponse:
        wanted = [self._wanted(f"names[{index}]", name, request) for index, name in enumerate(request.names)]
        found = queries.get_log_topics(self._deps, {name for name in wanted if isinstance(name, LogTopicName)})
        return BatchGetLogTopicsResponse(results=[_topic_result(name, found) for name in wanted])

    def _wanted(self, field: str, name: str, request: BatchGetLogTopicsRequest) -> LogTopicName | InvalidArgument:
        found = validation.wanted_topic(field, name, request.parent, self.regions)
        return invalid(found, self.regions) if found else convert.log_topic_name(name)

    @rpc(validation.list_log_topics)
    def ListLogTopics(self, request: ListLogTopicsRequest, context: grpc.ServicerContext) -> ListLogTopicsResponse:
        query = {"parent": request.parent}
        page = parse_page(request.page_size, request.page_token, query)
        after = str(page.after[0]) if page.after else ""
        found = queries.list_log_topics(self._deps, convert.log_set_name(request.parent), after, page.size + 1)
        topics, more = page.cut(found)
        return ListLogTopicsResponse(
            log_topics=map(convert.log_topic, topics),
            next_page_token=next_token((topics[-1].name.log_topic,), query) if more else "",
        )

    @rpc(validation.update_log_topic)
    def UpdateLogTopic(self, request: UpdateLogTopicRequest, context: grpc.ServicerContext) -> LogTopic:
        name = convert.log_topic_name(request.log_topic.name)
        return convert.log_topic(update_log_topic(self._deps, name, convert.new_display_name(request)))

    @rpc(validation.log_topic_name)
    def DeleteLogTopic(self, request: DeleteLogTopicRequest, context: grpc.ServicerContext) -> Empty:
        delete_log_topic(self._deps, convert.log_topic_name(request.name))
        return Empty()

    @rpc(validation.write_log_entries, audit=False, per_item="entries")
    def WriteLogEntries(
        self, request: WriteLogEntriesRequest, context: grpc.ServicerContext
    ) -> WriteLogEntriesResponse:
        entries = [self._new_entry(f"entries[{index}].", entry) for index, entry in enumerate(request.entries)]
        refusals = iter(write_log_entries(self._deps, [entry for entry in entries if isinstance(entry, NewEntry)]))
        errors = [next(refusals) if isinstance(entry, NewEntry) else entry for entry in entries]
        return WriteLogEntriesResponse(statuses=[to_status(error) if error else Status() for error in errors])

    def _new_entry(self, path: str, entry: LogEntry) -> NewEntry | InvalidArgument:
        found = violations(entry, validation.entry, regions=self.regions, create=True, path=path)
        return invalid(found, self.regions) if found else convert.new_entry(entry)

    @rpc(validation.list_log_entries)
    def ListLogEntries(self, request: ListLogEntriesRequest, context: grpc.ServicerContext) -> ListLogEntriesResponse:
        query = _entries_query(request)
        page = parse_page(request.page_size, request.page_token, query)
        after = int(page.after[0]) if page.after else 0
        topic, chosen = convert.log_topic_name(request.parent), convert.entry_filter(request.filter)
        entries, more = page.cut(queries.list_log_entries(self._deps, topic, chosen, after, page.size + 1))
        return ListLogEntriesResponse(
            entries=map(convert.entry, entries),
            next_page_token=next_token((entries[-1].sequence,), query) if more else "",
        )

    @stream(validation.tail_log_entries)
    def TailLogEntries(
        self, request: TailLogEntriesRequest, context: grpc.ServicerContext
    ) -> Source[domain.StoredEntry, TailLogEntriesResponse]:
        topic, chosen = convert.log_topic_name(request.parent), convert.entry_filter(request.filter)

        def begin(after: Key | None) -> Key:
            return convert.key(begin_tail(self._deps, topic, convert.position(after) if after else None))

        def read(after: Key) -> tuple[list[domain.StoredEntry], Key]:
            entries, position = read_tail(self._deps, topic, chosen, convert.position(after))
            return entries, convert.key(position)

        return Source(
            query=_entries_query(request),
            resume_token=request.resume_token,
            begin=begin,
            read=read,
            respond=convert.tail_response,
            subject=topic,
            news=self._deps.news,
        )


def _entries_query(request: ListLogEntriesRequest | TailLogEntriesRequest) -> dict[str, str]:
    """What tokens are bound to."""
    return {"parent": request.parent, "filter": request.filter.SerializeToString(deterministic=True).hex()}


def _topic_result(
    wanted: LogTopicName | InvalidArgument, found: Mapping[LogTopicName, domain.LogTopic]
) -> LogTopicResult:
    if isinstance(wanted, InvalidArgument):
        return LogTopicResult(error=to_status(wanted))
    if wanted not in found:
        return LogTopicResult(error=to_status(LogTopicNotFound(wanted)))
    return LogTopicResult(log_topic=convert.log_topic(found[wanted]))
