"""Claims on jobs: one winner, the dead and the silent lose theirs, the living never do."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from support.elsewhere import foreign

from fastvmt.runner.crew.leases import Leases, _identity


class Clock:
    """An observer's monotonic time, turned by hand."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def lease(root: Path, clock: Clock | None = None) -> Leases:
    found = Leases(root, silence=30.0, clock=clock or Clock())
    found.start()
    return found


def test_the_last_beat_of_one_that_leaves_does_not_bring_its_card_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fastvmt.runner.crew.leases.BEAT", 0.001)
    leaving, held, go = lease(tmp_path), threading.Event(), threading.Event()
    beat = leaving._beat

    def slow(count: int) -> None:
        held.set()
        go.wait()
        beat(count)

    monkeypatch.setattr(leaving, "_beat", slow)
    assert held.wait(60)
    closing = threading.Thread(target=leaving.close)
    closing.start()
    assert leaving._end.wait(60)
    go.set()
    closing.join()
    leaving._beating.join()
    assert not leaving._card.exists()


def test_a_claim_has_one_holder_until_it_is_given_back(tmp_path: Path) -> None:
    one, two = lease(tmp_path), lease(tmp_path)
    assert one.claim("job") and one.claim("job") and not two.claim("job")
    one.release("job")
    assert two.claim("job") and not one.claim("job")
    two.close()
    one.close()
    assert [p.name for p in (tmp_path / "leases").rglob("*")] == ["holders"]


def test_giving_back_late_takes_nothing_from_who_began_anew(tmp_path: Path) -> None:
    slow, other, third = lease(tmp_path), lease(tmp_path), lease(tmp_path)
    assert slow.claim("job")
    (tmp_path / "leases" / "job.0").unlink()  # what another does that took it over from a silent one, when it is done
    assert other.claim("job")
    slow.release("job")
    assert not third.claim("job") and not slow.claim("job")
    other.release("job")
    assert third.claim("job")
    for one in (slow, other, third):
        one.close()


def test_a_thousand_claims_from_eight_sides_are_won_once_each(tmp_path: Path) -> None:
    sides, won = [lease(tmp_path) for _ in range(8)], [[] for _ in range(8)]  # type: ignore[var-annotated]

    def go(n: int) -> None:
        won[n] = [k for k in range(1000) if sides[n].claim(f"job{k}")]

    threads = [threading.Thread(target=go, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    assert sorted(k for w in won for k in w) == list(range(1000))


def test_a_holder_killed_on_this_machine_loses_its_claim_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from fastvmt.runner.crew.leases import Leases\n"
        "a = Leases(pathlib.Path(sys.argv[1])); a.start(); print(a.claim('job'), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdout.readline() == b"True\n"
        mine = lease(tmp_path)
        assert not mine.claim("job")
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert mine.claim("job")
    mine.release("job")
    assert not list((tmp_path / "leases").glob("job.*"))


def test_a_silent_holder_elsewhere_is_given_its_time_by_our_clock_alone(tmp_path: Path) -> None:
    foreign(tmp_path)
    (tmp_path / "leases" / "job.0").write_text("f" * 16)
    os.utime(tmp_path / "leases" / "job.0", (0, 0))  # a file's time proves nothing: its clock is another one
    os.utime(tmp_path / "leases" / "holders" / ("f" * 16), (0, 0))
    clock = Clock()
    mine = lease(tmp_path, clock)
    assert not mine.claim("job")
    clock.now += 29
    assert not mine.claim("job")
    foreign(tmp_path, beat=1)  # it lives: the wait begins anew
    clock.now += 2
    assert not mine.claim("job")
    clock.now += 29
    assert not mine.claim("job")
    clock.now += 2
    assert mine.claim("job")


@pytest.mark.parametrize("content", [b"", b"\0" * 16, b"not a token", b"../../../etc/x", b"f" * 16, b"\xff" * 900])
@pytest.mark.parametrize("card", [None, b"", b"{}", b"[1]\n", b'{"host": 1}\n', b"\0" * 40])
def test_torn_and_forged_claims_and_cards_are_waited_out(tmp_path: Path, content: bytes, card: bytes | None) -> None:
    clock = Clock()
    mine = lease(tmp_path, clock)
    (tmp_path / "leases" / "job.0").write_bytes(content)
    if card is not None:
        (tmp_path / "leases" / "holders" / ("f" * 16)).write_bytes(card)
    assert not mine.claim("job")
    clock.now += 31
    assert mine.claim("job")


def test_a_process_id_used_again_is_not_the_holder(tmp_path: Path) -> None:
    mine = lease(tmp_path)
    facts = _identity() | {"pid": os.getppid(), "born": "1"}
    (tmp_path / "leases" / "holders" / ("b" * 16)).write_text(json.dumps(facts) + "\n000000000000\n")
    (tmp_path / "leases" / "job.0").write_text("b" * 16)
    assert mine.claim("job")


def test_of_two_that_find_a_claim_stale_one_takes_it(tmp_path: Path) -> None:
    foreign(tmp_path)
    one, two = Clock(), Clock()
    first, second = lease(tmp_path, one), lease(tmp_path, two)
    (tmp_path / "leases" / "job.0").write_text("f" * 16)
    assert not first.claim("job") and not second.claim("job")
    one.now += 31
    two.now += 31
    assert first.claim("job") and not second.claim("job")
    two.now += 3600
    first._beat(1)
    assert not second.claim("job")  # seen anew
    first.release("job")
    assert second.claim("job") and not (tmp_path / "leases" / "job.1").exists()


def test_a_runner_elsewhere_that_fell_silent_is_cleared_away(tmp_path: Path) -> None:
    foreign(tmp_path)
    (tmp_path / "leases" / "left.0").write_text("f" * 16)
    clock = Clock()
    mine = lease(tmp_path, clock)
    mine.sweep()
    clock.now += 29
    foreign(tmp_path, beat=1)
    mine.sweep()
    clock.now += 29
    mine.sweep()
    assert mine.lives("f" * 16) and (tmp_path / "leases" / "left.0").exists()
    clock.now += 2
    mine.sweep()
    assert not mine.lives("f" * 16) and not (tmp_path / "leases" / "left.0").exists()
    assert [p.name for p in (tmp_path / "leases" / "holders").iterdir()] == [mine.token]
    foreign(tmp_path, beat=9)  # it was only held up, and beats again
    assert mine.lives("f" * 16)


def test_listening_hears_who_beats_and_waits_out_who_does_not(tmp_path: Path) -> None:
    foreign(tmp_path, "e" * 16)
    foreign(tmp_path)
    clock = Clock()

    def beats() -> float:
        clock.now += 1
        foreign(tmp_path, beat=int(clock.now) if clock.now > 1010 else 0)
        return clock.now

    listener = Leases(tmp_path, silence=30.0, clock=beats)
    assert listener.listen(["e" * 16, "f" * 16], pause=0) == "f" * 16 and clock.now < 1013
    assert listener.listen(["e" * 16], pause=0) == "" and clock.now > 1040
    assert not listener.is_here("e" * 16) and len(list((tmp_path / "leases" / "holders").iterdir())) == 2


def test_a_new_start_clears_away_the_dead_and_leaves_the_living(tmp_path: Path) -> None:
    living, mine = lease(tmp_path), lease(tmp_path)
    assert living.claim("lives")
    dead = _identity() | {"pid": 2**22 + 1, "born": "7"}
    (tmp_path / "leases" / "holders" / ("d" * 16)).write_text(json.dumps(dead) + "\n0\n")
    (tmp_path / "leases" / "left.0").write_text("d" * 16)
    mine.sweep()
    assert not mine.lives("d" * 16) and mine.lives(living.token)
    assert {p.name for p in (tmp_path / "leases").glob("*.*")} == {"lives.0"}
    assert {p.name for p in (tmp_path / "leases" / "holders").iterdir()} == {living.token, mine.token}
