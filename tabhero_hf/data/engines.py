"""What prepares many songs: the processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass

from .preparation import PreparationError, Result, Skipped, Task, prepare_song


def _check_workers(workers: int | None) -> None:
    if workers is not None and workers < 1:
        raise PreparationError(f"at least 1 worker is needed, not {workers}")


@dataclass(frozen=True)
class LocalEngine:
    """
    Prepares songs in new processes of this machine: a script has to use it under `if __name__ == "__main__":`.

    Args:
        workers: How many; else one a processor.

    Raises:
        PreparationError: No workers, or one died.
    """

    workers: int | None = None

    def __post_init__(self):
        _check_workers(self.workers)

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        from concurrent.futures import ProcessPoolExecutor, as_completed
        from multiprocessing import get_context

        workers = min(self.workers or os.cpu_count() or 1, len(tasks))
        if not workers:
            return
        with ProcessPoolExecutor(workers, get_context("spawn"), initializer=_end_with_parent) as pool:
            numbers = {pool.submit(prepare_song, *task): number for number, task in enumerate(tasks)}
            try:
                for future in as_completed(numbers):
                    yield numbers[future], future.result()
            except BrokenProcessPool as error:
                raise PreparationError(
                    "a worker process died, perhaps for want of memory; run again, with fewer workers, to go on"
                ) from error
            finally:
                pool.shutdown(wait=True, cancel_futures=True)


def _end_with_parent() -> None:
    """Ends this worker when the process that started it is gone, however that came about: it would wait forever."""
    from multiprocessing import parent_process
    from threading import Thread

    def wait():
        parent_process().join()
        os._exit(1)

    Thread(target=wait, daemon=True).start()


@contextmanager
def threads_kept() -> Iterator[None]:
    """Puts back what Dask sets for its workers in this process's environment: numbers of threads, for one."""
    import dask.config
    import distributed  # noqa: F401  has the setting

    before = {name: os.environ.get(name) for name in dask.config.get("distributed.nanny.pre-spawn-environ")}
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name, None)
            if value is not None:
                os.environ[name] = value


@dataclass(frozen=True)
class DaskEngine:
    """
    Prepares songs on a [Dask](https://distributed.dask.org) cluster. Songs of workers that are lost go to others.

    All machines need this package, and songs and output under the same absolute paths.

    Args:
        scheduler: Address of the cluster, such as `tcp://host:8786`; else a cluster of this machine's own is started.
        workers: Processes of that one; else one a processor.

    Raises:
        PreparationError: No workers, Dask is not installed, or the scheduler cannot be reached.
    """

    scheduler: str | None = None
    workers: int | None = None

    def __post_init__(self):
        _check_workers(self.workers)

    def __call__(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        if not tasks:
            return
        try:
            from distributed import Client, KilledWorker, LocalCluster, as_completed
        except ImportError:
            raise PreparationError("the dask engine needs: pip install tabhero-hf[dask]") from None
        from contextlib import ExitStack

        with ExitStack() as stack:
            address = self.scheduler
            if address is None:
                stack.enter_context(threads_kept())
                address = stack.enter_context(
                    LocalCluster(n_workers=self.workers, threads_per_worker=1, dashboard_address=None)
                )
            try:
                client = stack.enter_context(Client(address))
            except (OSError, TimeoutError, ValueError) as error:
                raise PreparationError(f"no Dask scheduler at {address} ({error})") from error
            # A result depends on the files, not on the arguments alone: never reuse an earlier one.
            futures = client.map(prepare_song, *zip(*tasks), pure=False)
            numbers = {future.key: number for number, future in enumerate(futures)}
            for future in as_completed(futures):
                try:
                    result = future.result()
                except KilledWorker:
                    result = Skipped("every worker that tried it died, perhaps for want of memory", settled=False)
                yield numbers[future.key], result
                future.release()
