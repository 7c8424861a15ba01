"""Moves of eventsource-py, for comparison with `moves/copy.rs` and `moves/pause.rs` on the same server.

    python move.py postgres://postgres@127.0.0.1:5432/postgres [events of the large tenant [one part]]

The parts are strict, resting, lenient (cutovers of small tenants) and copies (of the large one).

It needs what `../../../segue-store/benches/eventsource_py/requirements.txt` holds, and no more.

A tenant with events of 300 bytes, spread evenly over 1,000 aggregates, goes from one database to another on the
same server by the library's own MigrationCoordinator, put together as the quick start of its documentation does:
PostgreSQL repositories and lock manager, PositionMapper, checkpoint repository, default MigrationConfig. The
tables of the migration are in the source's database, with a pool of their own. Writers and coordinator share one
process and one event loop: the router's pause of writes is a thing of the process it is in.

Writers begin when the migration is in DUAL_WRITE, each with an aggregate of its own, one append after the other,
through the TenantStoreRouter. No mirrored append waits for the copy then: the best case for a cutover. A cutover
is asked for by `trigger_cutover`, again and again (here every 50 ms, the documentation has 5 s), whether or not
`is_cutover_ready` says yes: it looks at the lag itself, with writes paused. After PATIENCE the writers stop, and
it is asked for without them, with the coordinator's `run_resync_pass` if there is still a lag: that tells a
cutover that cannot be had under writers from one that cannot be had at all. (Under writers without a
rest `run_resync_pass` was seen to end in BulkCopyError, as their aggregates keep moving.)
"""

import asyncio
import logging
import random
import statistics
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

import asyncpg
from eventsource import (
    DomainEvent,
    PostgreSQLEventStore,
    SQLCheckpointRepository,
    create_async_engine,
    register_event,
)
from eventsource.adapters.postgresql.locks import PostgreSQLLockManager
from eventsource.adapters.serialization import json_dumps
from eventsource.adapters.sql.migration import (
    PostgreSQLMigrationRepository,
    PostgreSQLPositionMappingRepository,
    PostgreSQLTenantRoutingRepository,
)
from eventsource.application.migration import (
    MigrationConfig,
    MigrationCoordinator,
    MigrationPhase,
    PositionMapper,
    TenantStoreRouter,
)
from eventsource.domain import StreamId
from eventsource.migrations import get_schema
from eventsource.ports import ExpectedVersion
from sqlalchemy.ext.asyncio import async_sessionmaker

AGGREGATES = 1_000
WRITERS = 16
MOVES = 5
SMALL = 2_000
PAYLOAD = "x" * 300
POOL = 32
PATIENCE = 5.0
THINKING = 0.2


@register_event
class Written(DomainEvent):
    aggregate_type: str = "Order"
    text: str


def event(stream: StreamId, tenant: UUID) -> Written:
    return Written(aggregate_id=stream.aggregate_id, tenant_id=tenant, text=PAYLOAD)


def rate(what: str, per_second: float) -> None:
    print(f"{what:<72} {per_second:>10.0f} /s", flush=True)


def value(what: str, value: float, unit: str) -> None:
    print(f"{what:<72} {value:>10.2f} {unit}", flush=True)


def count(what: str, value: int | str) -> None:
    print(f"{what:<72} {value:>10}", flush=True)


class World:
    """Two stores in databases of their own, and the library's migration between them."""

    async def open(self, url: str) -> "World":
        self.server = urlsplit(url)
        self.admin = await asyncpg.connect(url)
        self.databases, self.engines, self.plain = [], [], []
        for name in ("shared", "dedicated"):
            database = f"eventsource_py_{name}_{uuid4().hex}"
            await self.admin.execute(f"CREATE DATABASE {database} TEMPLATE template0")
            self.databases.append(database)
            plain = await asyncpg.connect(urlunsplit(self.server._replace(path=f"/{database}")))
            self.plain.append(plain)
            # Not get_schema("checkpoints"): that has a function which PostgreSQL refuses.
            await plain.execute(get_schema("all"))
            self.engines.append(self.engine(database, POOL))
        await self.plain[0].execute(get_schema("migration"))
        control = self.engine(self.databases[0], 10)
        self.engines.append(control)
        self.shared, self.dedicated = (PostgreSQLEventStore(engine) for engine in self.engines[:2])
        routing = PostgreSQLTenantRoutingRepository(control)
        self.router = TenantStoreRouter(default_store=self.shared, routing_repo=routing)
        self.coordinator = MigrationCoordinator(
            source_store=self.shared,
            migration_repo=PostgreSQLMigrationRepository(control),
            routing_repo=routing,
            router=self.router,
            lock_manager=PostgreSQLLockManager(async_sessionmaker(control, expire_on_commit=False)),
            position_mapper=PositionMapper(PostgreSQLPositionMappingRepository(control)),
            checkpoint_repo=SQLCheckpointRepository(control),
        )
        return self

    def engine(self, database: str, pool: int):
        url = urlunsplit(self.server._replace(scheme="postgresql+asyncpg", path=f"/{database}"))
        return create_async_engine(url, pool_size=pool, max_overflow=0)

    async def close(self) -> None:
        for engine in self.engines:
            await engine.dispose()
        for plain in self.plain:
            await plain.close()
        for database in self.databases:
            await self.admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
        await self.admin.close()

    async def fill(self, events: int, in_turn: bool = True) -> tuple[UUID, set[UUID]]:
        """A tenant with a history: rows as the store writes them, aggregates in turn or one after the other."""
        tenant, ids = uuid4(), set()
        aggregates = min(AGGREGATES, events)
        streams = [StreamId(aggregate_id=uuid4(), category="Order") for _ in range(aggregates)]
        each = -(-events // aggregates)
        rows, now = [], datetime.now(UTC)
        for n in range(events):
            stream = streams[n % aggregates if in_turn else n // each]
            nth = n // aggregates if in_turn else n % each
            one = event(stream, tenant)
            ids.add(one.event_id)
            rows.append(
                (one.event_id, one.event_type, "Order", stream.aggregate_id, tenant, nth + 1, one.occurred_at)
                + (json_dumps(one.model_dump(mode="json")), now)
            )
        columns = "event_id event_type aggregate_type aggregate_id tenant_id version timestamp payload created_at"
        await self.plain[0].copy_records_to_table("events", records=rows, columns=columns.split())
        await self.plain[0].execute("VACUUM ANALYZE events")
        return tenant, ids

    async def follow(self, tenant: UUID, config: MigrationConfig | None) -> UUID:
        migration = await self.coordinator.start_migration(
            tenant_id=tenant, target_store=self.dedicated, target_store_id="dedicated", config=config
        )
        reached = await self.coordinator.wait_for_phase(
            migration.id, MigrationPhase.DUAL_WRITE, poll_interval=0.02
        )
        assert reached.phase == MigrationPhase.DUAL_WRITE, reached
        return migration.id

    async def missing(self, tenant: UUID, acknowledged: set[UUID]) -> int:
        rows = await self.plain[1].fetch("SELECT event_id FROM events WHERE tenant_id = $1", tenant)
        return len(acknowledged - {UUID(bytes=row["event_id"].bytes) for row in rows})


@dataclass
class Writers:
    world: World
    tenant: UUID
    thinking: float
    running: bool = True
    at: list[float] = field(default_factory=list)
    acknowledged: set[UUID] = field(default_factory=set)
    failed: Counter = field(default_factory=Counter)

    def begin(self) -> "Writers":
        self.tasks = [asyncio.create_task(self.write()) for _ in range(WRITERS)]
        return self

    async def write(self) -> None:
        stream, nth = StreamId(aggregate_id=uuid4(), category="Order"), 0
        while self.running:
            one = event(stream, self.tenant)
            try:
                await self.world.router.append(stream, [one], ExpectedVersion.exact(nth))
            except Exception as error:
                # What became of it is unknown: the next one goes to a new aggregate.
                self.failed[type(error).__name__] += 1
                stream, nth = StreamId(aggregate_id=uuid4(), category="Order"), 0
            else:
                self.at.append(time.perf_counter())
                self.acknowledged.add(one.event_id)
                nth += 1
            if self.thinking:
                # Not all at the same time, again and again.
                await asyncio.sleep(random.uniform(0.0, 2.0 * self.thinking))

    def longest_gap(self, since: float, until: float) -> float:
        """The longest time between two acknowledged appends that has a part between two moments, in ms."""
        pairs = zip(self.at, self.at[1:])
        return max((b - a for a, b in pairs if b > since and a < until), default=float("nan")) * 1e3

    async def end(self) -> None:
        self.running = False
        await asyncio.gather(*self.tasks)


@dataclass
class Moved:
    under_writers: bool
    not_ready: int
    refused: int
    reported: float
    usual: float
    gap: float
    whole: float
    failed: Counter
    acknowledged: int
    lost: int


async def cut_over(world: World, migration: UUID, patience: float, resync: bool):
    """Asks for a cutover until there is one; answers with what it took."""
    refused, not_ready, begun = 0, 0, time.perf_counter()
    while time.perf_counter() < begun + patience:
        ready, _ = await world.coordinator.is_cutover_ready(migration)
        not_ready += not ready
        if resync and not ready:
            await world.coordinator.run_resync_pass(migration)
        asked = time.perf_counter()
        result = await world.coordinator.trigger_cutover(migration)
        if result.success:
            return result, not_ready, refused, asked
        refused += 1
        await asyncio.sleep(0.05)
    return None, not_ready, refused, begun


async def move(world: World, tenant: UUID, history: set[UUID], migration: UUID, thinking: float) -> Moved:
    writers = Writers(world, tenant, thinking).begin()
    await asyncio.sleep(1.0)
    now = time.perf_counter()
    usual = writers.longest_gap(now - 0.8, now)
    result, not_ready, refused, asked = await cut_over(world, migration, PATIENCE, False)
    returned, under_writers = time.perf_counter(), result is not None
    await asyncio.sleep(0.2)
    await writers.end()
    gap = whole = float("nan")
    if under_writers:
        pause = world.router.write_pause_manager.get_metrics_history()[-1]
        clock = time.perf_counter() - time.time()
        gap = writers.longest_gap(pause.started_at.timestamp() + clock, pause.ended_at.timestamp() + clock)
        whole = writers.longest_gap(asked, returned)
    else:
        result, *_ = await cut_over(world, migration, 60.0, True)
        assert result is not None, "no cutover without writers, either"
    lost = await world.missing(tenant, history | writers.acknowledged)
    reported = result.duration_ms if under_writers else float("nan")
    acknowledged = len(writers.acknowledged)
    return Moved(
        under_writers, not_ready, refused, reported, usual, gap, whole, writers.failed, acknowledged, lost
    )


def report(moves: list[Moved]) -> None:
    under = [moved for moved in moves if moved.under_writers]
    count("cut over under the writers, of all moves", f"{len(under)} of {len(moves)}")
    asked = sum(moved.refused + moved.under_writers for moved in moves)
    count("is_cutover_ready said no", f"{sum(m.not_ready for m in moves)} of {asked}")
    count("trigger_cutover refused", f"{sum(m.refused for m in moves)} of {asked}")
    median = statistics.median
    value("gap without a cutover, longest of 0.8 s, median", median(m.usual for m in moves), "ms")
    if under:
        value("duration as the coordinator reports it, median", median(m.reported for m in under), "ms")
        value("gap over the pause as writers saw it, median", median(m.gap for m in under), "ms")
        value("gap over the pause as writers saw it, longest", max(m.gap for m in under), "ms")
        value("longest gap until trigger_cutover returned, median", median(m.whole for m in under), "ms")
    failed = sum((moved.failed for moved in moves), Counter())
    count("appends acknowledged", sum(moved.acknowledged for moved in moves))
    count("appends failed with an error", failed.total())
    for name, times in failed.items():
        count(f"  {name}", times)
    count("acknowledged events missing in the target, history included", sum(m.lost for m in moves))


async def copy(world: World, events: int, config: MigrationConfig | None, in_turn: bool):
    tenant, history = await world.fill(events, in_turn)
    begun = time.perf_counter()
    migration = await world.follow(tenant, config)
    per_second = events / (time.perf_counter() - begun)
    return tenant, history, migration, per_second


async def copies(url: str, events: int) -> None:
    """The large tenant: three ways to copy, and the cutover of the first."""
    print(f"\ncopy of {events} events of 300 bytes, {AGGREGATES} aggregates, from start to DUAL_WRITE")
    unmapped = MigrationConfig(position_mapping_enabled=False)
    ways = [
        ("defaults", None, True),
        ("position_mapping_enabled=False", unmapped, True),
        ("position_mapping_enabled=False, each aggregate's events in a row", unmapped, False),
    ]
    for name, config, in_turn in ways:
        world = await World().open(url)
        try:
            tenant, history, migration, per_second = await copy(world, events, config, in_turn)
            rate(name, per_second)
            if config is None:
                first = await move(world, tenant, history, migration, 0.0)
        finally:
            await world.close()
    print(f"\ncutover of that tenant, defaults, {WRITERS} writers without a rest")
    report([first])


async def cutovers(url: str, only: str) -> None:
    lenient = MigrationConfig(batch_size=500, cutover_max_lag_events=50)
    ways = [
        ("strict", "defaults, {} writers without a rest", None, 0.0),
        ("resting", f"defaults, {{}} writers that rest {THINKING} s on average after each append", None, THINKING),
        ("lenient", "the documentation's cutover_max_lag_events=50, {} writers without a rest", lenient, 0.0),
    ]
    for way, name, config, thinking in ways:
        if only not in ("", way):
            continue
        print(f"\n{MOVES} moves of {SMALL} events: {name.format(WRITERS)}", flush=True)
        world = await World().open(url)
        try:
            moves = []
            for _ in range(MOVES):
                tenant, history, migration, _ = await copy(world, SMALL, config, True)
                moves.append(await move(world, tenant, history, migration, thinking))
            report(moves)
        finally:
            await world.close()


async def main(url: str, events: int = 50_000, only: str = "") -> None:
    # The library warns of each refused cutover and each event not mirrored; both are counted here.
    logging.disable(logging.CRITICAL)
    admin = await asyncpg.connect(url)
    settings = [
        f"{name} = {await admin.fetchval('SELECT current_setting($1)', name)}"
        for name in ("server_version", "fsync", "synchronous_commit")
    ]
    await admin.close()
    print(f"eventsource-py {version('eventsource-py')}, {', '.join(settings)}", flush=True)
    await cutovers(url, only)
    if only in ("", "copies"):
        await copies(url, events)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], *map(int, sys.argv[2:3]), *sys.argv[3:]))
