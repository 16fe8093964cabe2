"""The log service's migrations make what its code expects."""

from pathlib import Path

import pytest
import sqlalchemy as sa

from log_service.domain.errors import LogSetLimit, LogTopicLimit
from log_service.domain.logs import LogSet, LogTopic, TopicKind
from log_service.domain.names import LogSetName
from log_service.store import log_sets, log_topics, schema
from tests.support import START, database, migration_differences


def test_migrations_and_metadata_agree(tmp_path: Path) -> None:
    assert migration_differences(tmp_path, "log_service") == []


def test_a_refused_log_set_or_topic_leaves_no_row_and_no_count(tmp_path: Path) -> None:
    """The row is inserted before it is counted: the refusal must take it back."""
    db = database(tmp_path, "log_service")
    full = LogSetName("acme", "cn-north-1", "full")
    with db.write() as connection:
        log_sets.insert(connection, LogSet(full, "Full", 7, START))
        connection.execute(sa.update(schema.places).values(log_set_count=20))
        connection.execute(sa.update(schema.log_sets).values(topic_count=20))
    with pytest.raises(LogSetLimit), db.write() as connection:
        log_sets.insert(connection, LogSet(full._replace(log_set="more"), "More", 7, START))
    with pytest.raises(LogTopicLimit), db.write() as connection:
        log_topics.insert(connection, LogTopic(full.topic("more"), "More", TopicKind("s", "p", "l"), START))
    with db.read() as connection:
        assert connection.execute(sa.select(schema.log_sets.c.log_set)).scalars().all() == ["full"]
        assert connection.execute(sa.select(schema.log_topics.c.key)).all() == []
        assert connection.execute(sa.select(schema.places.c.log_set_count)).scalar_one() == 20
    db.dispose()
