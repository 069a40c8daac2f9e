"""`plateflow demo`: the whole system on this machine, on clips whose truth is known.

Renders clips, starts an embedded broker, a Vault stand-in and the three services as processes, uploads the clips as
cameras do, follows the topics, stops everything, and compares every result with the truth.

Exit codes: 0 all is right; 1 results are missing or wrong, or a process died (said in a sentence); 2 a mistake in the
command; 130 Ctrl+C. The last line on stdout is one JSON object.
"""

from __future__ import annotations

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import typer

from services.cli.children import Child, ChildFailed, Children, free_port
from services.cli.demo_check import Published, Verdict, judge
from services.cli.demo_results import draw_heatmaps, follow, read_sums
from services.cli.demo_show import Show
from services.simulator.broker import VAULT_TOPIC
from services.simulator.camera import Account, UploadFailed, UploadingCamera
from services.simulator.clips import Truth, render
from services.simulator.traffic import CAMERAS, timetable

app = typer.Typer()

SERVICES = ("ingest", "inference", "aggregator")
READY_S = 90.0
SILENCE_S = 120.0
"""Nothing new for so long means that something hangs."""
STOP_S = 30.0
ASK_EVERY_S = 2.0
MARK = "plateflow-demo"
"""A file that says: this folder is ours to clear."""
ACCOUNT = {"STORAGE_ACCESS_KEY": "demo", "STORAGE_SECRET": "demo-secret"}


class DemoFailed(Exception):
    """The demo cannot go on. The text says why."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where everything lies below the output folder."""

    out: Path

    @property
    def clips(self) -> Path:
        return self.out / "clips"

    @property
    def data(self) -> Path:
        """Parquet and checkpoints."""
        return self.out / "data"

    @property
    def logs(self) -> Path:
        return self.out / "logs"

    @property
    def vault(self) -> Path:
        return self.out / "vault"

    @property
    def store(self) -> Path:
        return self.out / "clip-store"

    @property
    def objects(self) -> Path:
        return self.out / "best-shots"

    @property
    def heatmaps(self) -> Path:
        return self.out / "heatmaps"

    def clear(self) -> None:
        """Makes the folder empty; refuses one that is not ours."""
        if self.out.exists() and any(self.out.iterdir()):
            if not (self.out / MARK).exists():
                raise typer.BadParameter(f"{self.out} is not empty and no demo's folder", param_hint="--out")
            shutil.rmtree(self.out)
        for folder in (self.clips, self.data, self.logs, self.vault, self.store, self.objects):
            folder.mkdir(parents=True)
        (self.out / MARK).write_text("Made by `plateflow demo`, which clears this folder when it runs again.\n")


@app.command()
def demo(
    out: Annotated[Path, typer.Option(help="Folder for everything that comes out; cleared first.")] = Path("demo-out"),
    seed: Annotated[int, typer.Option(min=0, help="Another seed: other plates, other moments.")] = 1,
    cameras: Annotated[int, typer.Option(min=1, max=len(CAMERAS), help="How many of the cameras.")] = len(CAMERAS),
    keep: Annotated[bool, typer.Option("--keep", help="Keep the copies of the clips in Vault and clip store.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Only the JSON object on stdout, all else on stderr.")
    ] = False,
) -> None:
    """Render clips, run Vault stand-in, broker and services, read every plate, check it against the truth."""
    began = time.monotonic()
    layout = Layout(out.absolute())
    layout.clear()
    try:
        with Show(to_stderr=as_json) as show:
            truth = _render(show, layout, seed, cameras)
            published = _run(show, layout, truth)
            verdict = judge(truth, published, read_sums(layout.data))
            pictures = draw_heatmaps(layout.data, layout.clips, layout.heatmaps)
    except KeyboardInterrupt:
        typer.echo("plateflow demo: stopped", err=True)
        raise typer.Exit(130) from None
    except (ChildFailed, DemoFailed, UploadFailed) as error:
        typer.echo(f"plateflow demo: {error}", err=True)
        raise typer.Exit(1) from error
    _tell(show, layout, verdict)
    if not keep:
        shutil.rmtree(layout.vault)
        shutil.rmtree(layout.store)
    for fault in verdict.faults:
        typer.echo(f"plateflow demo: {fault}", err=True)
    typer.echo(json.dumps(_summary(layout, truth, published, verdict, pictures, time.monotonic() - began)))
    raise typer.Exit(1 if verdict.faults else 0)


def _render(show: Show, layout: Layout, seed: int, cameras: int) -> Truth:
    recordings = timetable(seed, cameras)
    show.step("rendering clips", len(recordings))
    return render(recordings, layout.clips, seed, done=lambda _key: show.advance())


def _run(show: Show, layout: Layout, truth: Truth) -> Published:
    """Starts everything, uploads, waits for the results, stops everything."""
    with Children(layout.logs) as children:
        show.step("starting broker, Vault stand-in and services", 2 + len(SERVICES))
        broker = _start_broker(show, children, layout)
        vault = _start_vault(show, children, layout, broker)
        services = _start_services(show, children, layout, broker, vault)
        _upload(show, layout, truth, vault)
        published = follow(broker, truth, show, Watch(children, services), SILENCE_S)
        show.step("stopping services", len(services))
        for service in services:
            _stop(service.child)
            show.advance()
    return published


def _stop(child: Child) -> None:
    code = child.stop(STOP_S)
    if code != 0:
        raise DemoFailed(f"{child.name} did not stop cleanly: exit code {code}.\n{child.last_lines()}")


def _start_broker(show: Show, children: Children, layout: Layout) -> str:
    """The broker's address."""
    port_file = layout.out / "broker"
    child = children.start("broker", "services.simulator.broker", ["--port-file", str(port_file)])
    children.wait_for(child, port_file.exists, READY_S)
    show.advance()
    return port_file.read_text()


def _start_vault(show: Show, children: Children, layout: Layout, broker: str) -> str:
    """The address of the stand-in's API."""
    words = ["--folder", str(layout.vault), "--broker", broker, "--topic", VAULT_TOPIC]
    child = children.start("vault", "services.simulator.vault", words, ACCOUNT)
    children.wait_for(child, lambda: "STORAGE_URI=" in child.log.read_text(), READY_S)
    show.advance()
    return child.log.read_text().partition("STORAGE_URI=")[2].split()[0]


def _start_services(show: Show, children: Children, layout: Layout, broker: str, vault: str) -> list[RunningService]:
    """All three at once, then waits until each says that it is ready."""
    environment = {
        **ACCOUNT,
        "KAFKA_BROKER": broker,
        "STORAGE_URI": vault,
        "PLATEFLOW_KAFKA_INSTANCE_ID": "demo",
        "PLATEFLOW_CLIPS_URL": str(layout.store),
        "PLATEFLOW_OBJECTS_URL": str(layout.objects),
        "PLATEFLOW_DATA": str(layout.data),
        "PLATEFLOW_CAMERAS": str(layout.clips / "cameras.yaml"),
        "PLATEFLOW_HTTP_HOST": "127.0.0.1",
    }
    services = []
    for name in SERVICES:
        port = free_port()
        child = children.start(name, f"services.{name}", env={**environment, "PLATEFLOW_HTTP_PORT": str(port)})
        services.append(RunningService(child, port))
    for service in services:
        children.wait_for(service.child, service.is_ready, READY_S)
        show.advance()
    return services


@dataclass(frozen=True, slots=True)
class RunningService:
    """One of the three services and the port of its health page."""

    child: Child
    port: int

    def is_ready(self) -> bool:
        return self.page() == {}

    def check(self) -> None:
        """Raises ChildFailed where it says that it has stopped: it stays up for a while so that one can ask it why."""
        if reason := self.page().get("service"):
            raise ChildFailed(f"{self.child.name} has stopped: {reason}\n{self.child.last_lines()}")

    def page(self) -> dict[str, str]:
        """What is wrong with it, by check; not answering (yet) is wrong, too."""
        try:
            answer = httpx.get(f"http://127.0.0.1:{self.port}/readyz", timeout=5.0)
            return {name: reason for name, reason in answer.json().items() if reason != "ok"}
        except (httpx.HTTPError, ValueError):
            return {"page": "does not answer"}


class Watch:
    """Looks after all children, and asks the services now and then."""

    def __init__(self, children: Children, services: list[RunningService]) -> None:
        self._children, self._services = children, services
        self._asked = time.monotonic()

    def __call__(self) -> None:
        self._children.check()
        if time.monotonic() - self._asked > ASK_EVERY_S:
            for service in self._services:
                service.check()
            self._asked = time.monotonic()


def _upload(show: Show, layout: Layout, truth: Truth, vault: str) -> None:
    """Each camera uploads its recordings in their order."""
    show.step("uploading clips", len(truth.recordings))
    account = Account(vault, ACCOUNT["STORAGE_ACCESS_KEY"], ACCOUNT["STORAGE_SECRET"])
    agents = {clip.camera: UploadingCamera(account, device=clip.camera) for clip in truth.recordings}
    for clip in sorted(truth.recordings, key=lambda one: one.start_ms):
        agents[clip.camera].upload(layout.clips / clip.key)
        show.advance()
    for agent in agents.values():
        agent.close()


def _tell(show: Show, layout: Layout, verdict: Verdict) -> None:
    show.passages(verdict)
    faults = f"{len(verdict.faults)} faults, see below" if verdict.faults else "times, positions and sums are right"
    show.say(f"{verdict.exact} of {len(verdict.rows)} plates exact; {faults}", "red" if verdict.faults else "green")
    show.places({
        "Parquet": layout.data, "heatmaps": layout.heatmaps, "clips": layout.clips, "best shots": layout.objects,
        "logs": layout.logs,
    })  # fmt: skip


def _summary(
    layout: Layout, truth: Truth, published: Published, verdict: Verdict, pictures: list[Path], seconds: float
) -> dict[str, object]:
    return {
        "recordings": len(published.recordings),
        "expected_passages": sum(len(clip.passages) for clip in truth.recordings),
        "passages": len(published.passages),
        "exact": verdict.exact,
        "plates": len(published.plates),
        "heatmap": str(pictures[0]) if pictures else None,
        "parquet": str(layout.data),
        "seconds": round(seconds, 1),
    }
