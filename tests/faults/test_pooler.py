"""A pooler in transaction mode between the server and PostgreSQL."""

import pytest

from tests.faults.outage import RETRY_SCALE, Stage, judge
from tests.faults.outages import SECRET_KEY
from tests.support.pgbouncer import PgBouncer
from tests.support.postgres_server import PostgresServer
from tests.support.server import Server
import time

def test_x(receiver, tmp_path):
    with PostgresServer() as postgres, PgBouncer(postgres.folder) as pooler:
        postgres.sql("CREATE DATABASE tocsin")
        with Server(tmp_path, db=pooler.address("tocsin"), secret_key=SECRET_KEY, retry_scale=RETRY_SCALE) as server:
            stage = Stage(server, receiver)
            (evidence,) = stage.run(lambda: time.sleep(3), before_s=2, after_s=2)
            print(evidence)
            judge(evidence)
            print(server.log_tail(), pooler.log())
