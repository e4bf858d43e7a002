"""Tasks side by side: in threads, in processes, or on the workers of a cluster.

A process that is killed, by the system for want of memory or by anybody, takes no task with it:
what it had in hand is done again by a new one. Only what ends two processes is given up.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import multiprocessing
import os
import pickle
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from typing import Any, Final, Generic, TypeVar

from xrain.errors import WorkerError

__all__ = ["Done", "Workers", "keep_memory", "results_in_order", "run_tasks"]

Task = TypeVar("Task")

LOSSES: Final = 2
"""Processes that a task may end before it is given up; the second one had nothing else in hand."""

_LOST: Final = "the process that worked on it was killed, most likely for want of memory"
_NEVER_BEGAN: Final = (
    "a new process ends before it begins: in a script, start the work below "
    'if __name__ == "__main__":'
)


@dataclass(frozen=True)
class Workers:
    """Who does the work.

    Attributes
    ----------
    processes : int
        Processes beside this one; with 1 the work is done in this process.
    lanes : int
        Tasks that each process has in hand at once, each in a thread of its own, so that one can
        read or write while another one computes.
    client : distributed.Client or None
        A cluster that does the work instead.
    prepare : callable or None
        Called first in each new process.
    """

    processes: int = 1
    lanes: int = 1
    client: Any = None
    prepare: Callable[[], object] | None = None


@dataclass(frozen=True)
class Done(Generic[Task]):
    """A task that is done, or has failed.

    Attributes
    ----------
    task : object
        The task.
    result : object
        What the function returned.
    error : Exception or None
        What it raised, or WorkerError for a task that was lost with its workers.
    """

    task: Task
    result: Any = None
    error: Exception | None = None

    def value(self) -> Any:
        """Return the result; raise the error if there is one."""
        if self.error is not None:
            raise self.error
        return self.result


def run_tasks(
    function: Callable[[Task], Any], tasks: Iterable[Task], workers: Workers
) -> Iterator[Done[Task]]:
    """Call a function on each task.

    Parameters
    ----------
    function : callable
        Of one task; must be importable for processes and clusters.
    tasks : iterable
        Taken only as fast as they are done, but for a cluster, which is told of all at once.
    workers : Workers
        Who does it.

    Yields
    ------
    Done
        One for each task: in the order given in this process, else as soon as it is done. When
        the generator is closed, what has not begun is dropped, and processes are ended.

    Raises
    ------
    WorkerError
        If processes cannot be started.

    Examples
    --------
    >>> [done.result for done in run_tasks(abs, [-1, -2], Workers())]
    [1, 2]
    """
    if workers.client is not None:
        return _on_cluster(function, list(tasks), workers.client)
    if workers.processes > 1:
        return _in_processes(function, tasks, workers)
    return _in_threads(function, tasks, workers.lanes)


def _call(function: Callable[[Task], Any], task: Task) -> Done[Task]:
    try:
        return Done(task, function(task))
    except Exception as error:
        return Done(task, error=error)


def _in_threads(
    function: Callable[[Task], Any], tasks: Iterable[Task], lanes: int
) -> Iterator[Done[Task]]:
    if lanes == 1:
        yield from (_call(function, task) for task in tasks)
        return
    pool = ThreadPoolExecutor(lanes, thread_name_prefix="xrain-lane")
    begun: deque[Future[Done[Task]]] = deque()
    try:
        for task in tasks:
            begun.append(pool.submit(_call, function, task))
            if len(begun) == lanes:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


# ---- processes


class _Process(Generic[Task]):
    """A process and the tasks that it has in hand."""

    def __init__(self, function: Callable[[Task], Any], workers: Workers) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self._lanes = workers.lanes
        args = (theirs, function, workers.lanes, workers.prepare)
        self._process = context.Process(target=_serve, args=args, daemon=True)
        self._process.start()
        theirs.close()  # its end is then known by the end of what it says
        self.begun = False
        self.tasks: dict[int, Task] = {}
        self._alone = False

    def has_room(self, alone: bool) -> bool:
        """Whether it can take another task, or one that must be by itself."""
        if not self.tasks:
            return True
        return not alone and not self._alone and len(self.tasks) < self._lanes

    def give(self, number: int, task: Task, alone: bool) -> None:
        """Let it do a task."""
        self.tasks[number] = task
        self._alone = alone
        with contextlib.suppress(OSError):  # it is gone, which is told when it is listened to
            self.connection.send((number, task))

    def listen(self) -> Done[Task] | None:
        """Return what it has done; None when it only said that it began. EOFError if it is gone."""
        number, result, error = self.connection.recv()
        self.begun = True
        if number is None:
            return None
        return Done(self.tasks.pop(number), result, error)

    def end(self) -> None:
        """End it, whatever it does."""
        self._process.terminate()
        self._process.join()
        self.connection.close()


class _Queue(Generic[Task]):
    """Tasks that are left, and how many processes each has ended."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._fresh = enumerate(tasks)
        self._again: deque[tuple[int, Task]] = deque()
        self._losses: dict[int, int] = {}

    def feed(self, process: _Process[Task]) -> None:
        """Give a process what it has room for; what was lost before comes first and alone."""
        if self._again:
            if process.has_room(alone=True):
                process.give(*self._again.popleft(), alone=True)
            return
        while process.has_room(alone=False):
            following = next(self._fresh, None)
            if following is None:
                return
            process.give(*following, alone=False)

    def lose(self, tasks: dict[int, Task]) -> list[Task]:
        """Take back what a process had in hand; return what is given up."""
        given_up = []
        for number, task in tasks.items():
            self._losses[number] = self._losses.get(number, 0) + 1
            if self._losses[number] < LOSSES:
                self._again.append((number, task))
            else:
                given_up.append(task)
        return given_up


def _in_processes(
    function: Callable[[Task], Any], tasks: Iterable[Task], workers: Workers
) -> Iterator[Done[Task]]:
    queue = _Queue(tasks)
    processes: list[_Process[Task]] = []
    try:
        for _ in range(workers.processes):
            processes.append(_Process(function, workers))
            queue.feed(processes[-1])
            if not processes[-1].tasks:
                break
        while busy := {p.connection: p for p in processes if p.tasks}:
            for connection in wait(list(busy)):
                process = busy[connection]  # type: ignore[index]
                try:
                    done = process.listen()
                except (EOFError, OSError):
                    for task in _replace(process, processes, queue, function, workers):
                        yield Done(task, error=WorkerError(_LOST))
                    continue
                if done is not None:
                    yield done
                queue.feed(process)
    finally:
        for process in processes:
            process.end()


def _replace(
    process: _Process[Task],
    processes: list[_Process[Task]],
    queue: _Queue[Task],
    function: Callable[[Task], Any],
    workers: Workers,
) -> list[Task]:
    """Put a new process in the place of one that is gone; return the tasks that are given up."""
    process.end()
    if not process.begun:
        raise WorkerError(_NEVER_BEGAN)
    given_up = queue.lose(process.tasks)
    fresh: _Process[Task] = _Process(function, workers)
    processes[processes.index(process)] = fresh
    queue.feed(fresh)
    return given_up


def _serve(
    connection: Connection[Any, Any],
    function: Callable[[Any], Any],
    lanes: int,
    prepare: Callable[[], object] | None,
) -> None:
    """Do tasks until the other side is gone: what a process runs."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches it too; the other side ends it
    if prepare is not None:
        prepare()
    talking = threading.Lock()
    connection.send((None, None, None))
    with ThreadPoolExecutor(lanes) as pool:
        while True:
            try:
                number, task = connection.recv()
            except (EOFError, OSError):
                os._exit(1)  # also when the other side was killed
            pool.submit(_answer, connection, talking, number, function, task)


def _answer(
    connection: Connection[Any, Any],
    talking: threading.Lock,
    number: int,
    function: Callable[[Any], Any],
    task: Any,
) -> None:
    done = _call(function, task)
    with talking:
        try:
            connection.send_bytes(_packed(number, done))
        except OSError:
            os._exit(1)


def _packed(number: int, done: Done[Any]) -> bytes:
    """Make a result ready to be sent, if need be only the text of an error."""
    try:
        packed = pickle.dumps((number, done.result, done.error))
        if done.error is not None:
            pickle.loads(packed)  # noqa: S301  some errors can be packed but not unpacked
    except Exception as error:
        text = (
            f"{done.error!r}" if done.error is not None else f"its result cannot be sent: {error}"
        )
        packed = pickle.dumps((number, None, WorkerError(text)))
    return packed


# ---- a cluster

_MALLOPT: Final = {-3: 32 << 20, -1: 512 << 20}
"""From which size on the GNU C library takes a block from the system (M_MMAP_THRESHOLD), and how
much it keeps (M_TRIM_THRESHOLD), in bytes."""


@functools.cache
def keep_memory() -> None:
    """Let freed memory be used again instead of giving it back to the system each time.

    Dask starts its workers with a low MALLOC_TRIM_THRESHOLD_, by which every array of more than
    128 kB is fetched from the system anew, page by page: that costs as much as a network.
    """
    if "MALLOC_TRIM_THRESHOLD_" not in os.environ:
        return
    with contextlib.suppress(OSError, AttributeError):  # another system or C library
        library = ctypes.CDLL("libc.so.6")
        for option, value in _MALLOPT.items():
            library.mallopt(option, value)


def _on_worker(function: Callable[[Task], Any], task: Task) -> Any:
    keep_memory()
    return function(task)


def _on_cluster(
    function: Callable[[Task], Any], tasks: Sequence[Task], client: Any
) -> Iterator[Done[Task]]:
    from distributed import as_completed

    futures = client.map(functools.partial(_on_worker, function), tasks, pure=False)
    left = dict(zip(futures, tasks, strict=True))
    del futures
    try:
        for future in as_completed(list(left)):
            yield _collected(left.pop(future), future)
            future.release()
    finally:
        if left:
            client.cancel(list(left))


def _collected(task: Task, future: Any) -> Done[Task]:
    from distributed import KilledWorker

    try:
        return Done(task, future.result())
    except KilledWorker as error:
        return Done(task, error=WorkerError(f"{_LOST}: {error}"))
    except CancelledError as error:
        return Done(task, error=WorkerError(f"the cluster has given it up: {error}"))
    except Exception as error:
        return Done(task, error=error)


def results_in_order(
    function: Callable[[Task], Any], tasks: Iterable[Task], client: Any = None
) -> Iterator[Done[Task]]:
    """Call a function on each task, and yield the results in the order of the tasks.

    Parameters
    ----------
    function, tasks
        As for :func:`run_tasks`.
    client : distributed.Client, optional
        A cluster that works ahead, by two tasks for each of its threads; by default this process
        does one task after the other.

    Yields
    ------
    Done
        One for each task.
    """
    if client is None:
        yield from (_call(function, task) for task in tasks)
        return
    begun: deque[tuple[Task, Any]] = deque()
    try:
        for task in tasks:
            begun.append((task, client.submit(_on_worker, function, task, pure=False)))
            if len(begun) >= 2 * max(sum(client.ncores().values()), 1):
                yield _collected(*begun.popleft())
        while begun:
            yield _collected(*begun.popleft())
    finally:
        client.cancel([future for _, future in begun])
