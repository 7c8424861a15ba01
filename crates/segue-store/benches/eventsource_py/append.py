"""Durable appends of eventsource-py, for comparison with `append_postgres.rs` on the same server.

    python append.py postgres://postgres@127.0.0.1:5432/postgres [seconds per row]

Each append is one event with a payload of 300 bytes, in a transaction of its own, to the store that the
library documents for production: PostgreSQLEventStore over asyncpg, its own schema, its own default indexes.
The rows are those of our benchmark: one client; 64 clients on one tenant, each with an aggregate of its own;
64 tenants; and reading the feed. All clients live in one process and one event loop, as an application's
would.
"""

import asyncio
import statistics
import sys
import time
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
from eventsource import DomainEvent, PostgreSQLEventStore, create_async_engine, register_event
from eventsource.domain import StreamId
from eventsource.migrations import get_schema
from eventsource.ports import ExpectedVersion, FeedReadOptions

CLIENTS = 64
PAYLOAD = "x" * 300


@register_event
class Written(DomainEvent):
    aggregate_type: str = "Order"
    text: str


def event(stream: StreamId, tenant: UUID) -> Written:
    return Written(aggregate_id=stream.aggregate_id, tenant_id=tenant, text=PAYLOAD)


async def client(store: PostgreSQLEventStore, tenant: UUID, deadline: float) -> list[float]:
    """Appends to one new aggregate until the deadline; answers with the latencies in seconds."""
    stream = StreamId(aggregate_id=uuid4(), category="Order")
    latencies = []
    while True:
        start = time.perf_counter()
        if start >= deadline:
            return latencies
        expected = ExpectedVersion.exact(len(latencies)) if latencies else ExpectedVersion.no_stream()
        await store.append(stream, [event(stream, tenant)], expected)
        latencies.append(time.perf_counter() - start)


async def row(name: str, store: PostgreSQLEventStore, tenants: list[UUID], seconds: float) -> None:
    async def run(seconds: float) -> tuple[list[float], float]:
        start = time.perf_counter()
        clients = [client(store, tenant, start + seconds) for tenant in tenants]
        latencies = [latency for of_one in await asyncio.gather(*clients) for latency in of_one]
        return latencies, time.perf_counter() - start

    await run(0.5)  # every connection is there, and every statement prepared
    latencies, took = await run(seconds)
    centiles = statistics.quantiles(latencies, n=100)
    print(
        f"{name:<44} {len(latencies) / took:>9.0f} appends/s"
        f"   p50 {centiles[49] * 1e3:>8.2f} ms   p99 {centiles[98] * 1e3:>8.2f} ms",
        flush=True,
    )


async def read(store: PostgreSQLEventStore, most: int) -> None:
    start, events = time.perf_counter(), 0
    async for _ in store.read_all(options=FeedReadOptions(limit=most)):
        events += 1
    took = time.perf_counter() - start
    print(f"{'read the feed of all tenants':<44} {events / took:>9.0f} events/s    ({events} events)")


async def main(url: str, seconds: float) -> None:
    server = urlsplit(url)
    admin = await asyncpg.connect(url)
    settings = [
        f"{name} = {await admin.fetchval('SELECT current_setting($1)', name)}"
        for name in ("server_version", "fsync", "synchronous_commit")
    ]
    database = f"eventsource_py_{uuid4().hex}"
    await admin.execute(f"CREATE DATABASE {database} TEMPLATE template0")
    print(f"eventsource-py {version('eventsource-py')}, {', '.join(settings)}")
    engine = create_async_engine(
        urlunsplit(server._replace(scheme="postgresql+asyncpg", path=f"/{database}")),
        pool_size=CLIENTS,
        max_overflow=0,
    )
    try:
        schema = await asyncpg.connect(urlunsplit(server._replace(path=f"/{database}")))
        await schema.execute(get_schema("events"))
        await schema.close()
        store = PostgreSQLEventStore(engine)
        one = uuid4()
        await row("1 client", store, [one], seconds)
        await row(f"1 tenant, {CLIENTS} clients, 1 aggregate each", store, [one] * CLIENTS, seconds)
        await row(f"{CLIENTS} tenants, 1 client each", store, [uuid4() for _ in range(CLIENTS)], seconds)
        await read(store, 50_000)
    finally:
        await engine.dispose()
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await admin.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 10.0))
