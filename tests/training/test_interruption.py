"""Signals to real processes: what is deferred, what is not, and exit codes."""

import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dualtail.training import interruption
from dualtail.training.interruption import Interrupted

START = """
import signal, sys, time
from dualtail.training import interruption
from dualtail.training.interruption import Interrupted

# What a shell starts in the background ignores it, and so do its children.
signal.signal(signal.SIGINT, signal.default_int_handler)

def ready():
    print("ready", flush=True)
"""
Start = Callable[[str], subprocess.Popen]


@pytest.fixture
def start() -> Start:
    """Run a script until it says that it is ready."""

    def run(script: str) -> subprocess.Popen:
        process = subprocess.Popen(
            [sys.executable, "-c", START + textwrap.dedent(script)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    return run


def rest(process: subprocess.Popen) -> str:
    return process.communicate(timeout=20)[0]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_is_raised_where_the_program_is(start: Start, number: int) -> None:
    process = start(
        """
        try:
            with interruption.signals_handled():
                ready()
                time.sleep(30)
        except Interrupted as stop:
            print(stop.signal.name)
            sys.exit(stop.exit_code)
        """
    )
    process.send_signal(number)
    assert rest(process) == f"{signal.Signals(number).name}\n"
    assert process.returncode == 128 + number


def test_it_is_only_noted_where_deferred_and_raised_after(start: Start) -> None:
    process = start(
        """
        with interruption.signals_handled():
            try:
                with interruption.deferred():
                    with interruption.deferred():
                        ready()
                        while not interruption.asked():
                            time.sleep(0.01)
                        print("saving", interruption.asked())
                    print("the inner block ends")
                print("never")
            except Interrupted as stop:
                print("left", stop.signal)
        """
    )
    process.terminate()
    assert rest(process) == "saving 15\nthe inner block ends\nleft 15\n"
    assert process.returncode == 0


def test_the_second_one_ends_the_process_at_once(start: Start) -> None:
    process = start(
        """
        with interruption.signals_handled(), interruption.deferred():
            ready()
            while not interruption.asked():
                time.sleep(0.01)
            print("slow", flush=True)
            time.sleep(30)
        """
    )
    process.terminate()
    assert process.stdout is not None
    assert process.stdout.readline() == "slow\n"
    process.send_signal(signal.SIGINT)
    time.sleep(interruption.TOGETHER + 0.1)
    assert process.poll() is None, "so soon it is the same request, sent twice"
    started = time.monotonic()
    process.send_signal(signal.SIGINT)
    assert rest(process) == ""
    assert process.returncode == 130
    assert time.monotonic() - started < 10


def test_handlers_are_put_back() -> None:
    before = [signal.getsignal(number) for number in interruption.SIGNALS]
    with interruption.signals_handled():
        assert [signal.getsignal(number) for number in interruption.SIGNALS] != before
    assert [signal.getsignal(number) for number in interruption.SIGNALS] == before


def test_a_signal_of_an_earlier_block_is_forgotten() -> None:
    with pytest.raises(Interrupted), interruption.signals_handled():
        signal.raise_signal(signal.SIGTERM)
    assert not interruption.asked()
    with interruption.signals_handled():
        interruption.leave_if_asked()


def test_other_threads_have_no_handlers() -> None:
    found: list[object] = []

    def work() -> None:
        with interruption.signals_handled():
            found.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["done"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_exit_codes_of_the_program(tmp_path: Path, number: int) -> None:
    """Also of verbs that handle no signals themselves."""
    script = """
        import types
        import click
        from dualtail.cli import program

        @click.command("wait")
        @click.argument("handled", type=bool)
        def wait(handled):
            with interruption.signals_handled() if handled else interruption.deferred():
                ready()
                time.sleep(30)

        verbs = sys.modules["dualtail.cli.own"] = types.ModuleType("own")
        verbs.VERBS = [wait]
        program.SECTIONS["Own"] = "own"
        program.main()
        """
    for handled in ("yes", "no"):
        process = subprocess.Popen(
            [sys.executable, "-c", START + textwrap.dedent(script), "wait", handled],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        _, said = process.communicate(timeout=20)
        default = handled == "no" and number == signal.SIGTERM
        assert process.returncode == (-number if default else 128 + number)
        if not default:
            assert f"Stopped by {signal.Signals(number).name}; the same command goes on" in said
