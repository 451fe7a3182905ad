"""Does the faults of a schedule to a cluster, and writes down what was done, when, and who held what at that moment."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import cast

from redis import Redis
from redis.exceptions import RedisError

from chaos.cluster import LEASE_SECONDS, Cluster
from chaos.faults import Fault, Kind
from chaos.harms import Burst, Harm
from chaos.watch import LeaseWatch
from services.broker import EMBED, SCORE, queue_lists

_BEYOND_LEASE_SECONDS = LEASE_SECONDS + 2.0
_REDIS_AWAY_SECONDS = 4.0
_SILENCE_SECONDS = 4.0
_QUEUE_PATIENCE_SECONDS = 2.0


@dataclass
class Deed:
    """A fault that was done.

    at: Unix seconds. target: process or queue. held: the steps that the target held. burst: of a fault on storage,
    which counts once it met a request.
    """

    fault: Fault
    at: float
    target: str
    held: list[str] = field(default_factory=list)
    burst: Burst | None = None

    @property
    def done(self) -> bool:
        """Whether it harmed anything."""
        return self.burst is None or self.burst.hits > 0


class Injector:
    """Hurts one cluster. `deeds` is what was done so far."""

    def __init__(self, cluster: Cluster, watch: LeaseWatch) -> None:
        self.deeds: list[Deed] = []
        self._cluster, self._watch = cluster, watch
        self._wakings: list[threading.Timer] = []
        self._redis = Redis.from_url(cluster.redis_url, socket_timeout=1, socket_connect_timeout=1)

    def close(self) -> None:
        """Wake everything that still sleeps."""
        for waking in self._wakings:
            waking.cancel()
            waking.function(*waking.args)
        self._redis.close()

    def inject(self, fault: Fault) -> bool:
        """Do the fault; False when there was nothing to do it to: no message waits, Redis is away, no child runs."""
        deed = self._strike_storage(fault) if fault.harm else _BLOWS[fault.kind](self, fault)
        if deed is not None:
            self.deeds.append(deed)
        return deed is not None

    def _strike_storage(self, fault: Fault) -> Deed | None:
        assert fault.harm
        assert fault.operation
        if self._cluster.proxy is None:
            return None
        seconds = _SILENCE_SECONDS if fault.harm is Harm.SILENCE else fault.seconds
        burst = Burst(fault.harm, [fault.operation], fault.requests, seconds)
        self._cluster.proxy.harm(burst)
        return Deed(fault, time.time(), "storage", burst=burst)

    def _kill_worker(self, fault: Fault) -> Deed:
        deed = self._on_worker(fault)
        self._cluster.signal(deed.target, signal.SIGKILL)
        return deed

    def _kill_pool_child(self, fault: Fault) -> Deed | None:
        deed = self._on_worker(fault)
        child = self._cluster.pool_child(deed.target)
        if child is None:
            return None
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            return None
        return deed

    def _term_worker(self, fault: Fault) -> Deed:
        deed = self._on_worker(fault)
        self._cluster.terminate(deed.target, signal.SIGTERM)
        return deed

    def _quit_worker(self, fault: Fault) -> Deed:
        deed = self._on_worker(fault)
        self._cluster.terminate(deed.target, signal.SIGQUIT)
        return deed

    def _stall_worker(self, fault: Fault) -> Deed:
        deed = self._on_worker(fault)
        self._stall(deed.target, _BEYOND_LEASE_SECONDS)
        return deed

    def _kill_redis(self, fault: Fault) -> Deed:
        self._cluster.signal("redis", signal.SIGKILL)
        return Deed(fault, time.time(), "redis")

    def _stall_redis(self, fault: Fault) -> Deed:
        self._stall("redis", _REDIS_AWAY_SECONDS)
        return Deed(fault, time.time(), "redis")

    def _flush_redis(self, fault: Fault) -> Deed | None:
        try:
            self._redis.flushall()
        except RedisError:
            return None
        return Deed(fault, time.time(), "redis")

    def _kill_other(self, fault: Fault) -> Deed:
        target = fault.kind.removeprefix("kill ")
        self._cluster.signal(target, signal.SIGKILL)
        return Deed(fault, time.time(), target)

    def _deliver_twice(self, fault: Fault) -> Deed | None:
        """Put a copy of a waiting message beside it. kombu takes from the right and puts in at the left."""
        deadline = time.monotonic() + _QUEUE_PATIENCE_SECONDS
        queues = (EMBED, SCORE) if fault.pick < 0.5 else (SCORE, EMBED)
        while time.monotonic() < deadline:
            try:
                for waiting in (name for queue in queues for name in queue_lists(queue)):
                    message = cast("bytes | None", self._redis.lindex(waiting, -1))
                    if message is not None:
                        self._redis.rpush(waiting, message)
                        return Deed(fault, time.time(), waiting)
            except RedisError:
                return None
            time.sleep(0.01)
        return None

    def _on_worker(self, fault: Fault) -> Deed:
        """A deed on one of the workers that hold a step, or on any while none does."""
        held = {
            name: self._watch.held_by(self._cluster.pid(name))
            for name in [*self._cluster.embedders, *self._cluster.scorers]
        }
        workers = [name for name, steps in held.items() if steps] or list(held)
        target = workers[int(fault.pick * len(workers))]
        return Deed(fault, time.time(), target, held[target])

    def _stall(self, name: str, seconds: float) -> None:
        self._cluster.signal(name, signal.SIGSTOP)
        waking = threading.Timer(seconds, self._cluster.signal, (name, signal.SIGCONT))
        waking.daemon = True
        self._wakings.append(waking)
        waking.start()


_BLOWS: Mapping[Kind, Callable[[Injector, Fault], Deed | None]] = {
    Kind.KILL_WORKER: Injector._kill_worker,
    Kind.KILL_POOL_CHILD: Injector._kill_pool_child,
    Kind.TERM_WORKER: Injector._term_worker,
    Kind.QUIT_WORKER: Injector._quit_worker,
    Kind.STALL_WORKER: Injector._stall_worker,
    Kind.KILL_REDIS: Injector._kill_redis,
    Kind.STALL_REDIS: Injector._stall_redis,
    Kind.FLUSH_REDIS: Injector._flush_redis,
    Kind.KILL_API: Injector._kill_other,
    Kind.KILL_RECONCILER: Injector._kill_other,
    Kind.KILL_S3: Injector._kill_other,
    Kind.TWICE: Injector._deliver_twice,
}


def done_deeds(deeds: Sequence[Deed]) -> list[Deed]:
    """Those that harmed something."""
    return [deed for deed in deeds if deed.done]
