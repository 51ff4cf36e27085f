"""Reflect Deployments into a store and react to what happens to them."""

import asyncio
import time

import orjson

from kubemirror import Apply, Connection, Delete, Event, InitDone, Reflector, Writer, discover


def react(event: Event) -> None:
    """Called with each event, right after the store has taken it."""
    match event:
        case InitDone(resource_version):
            print(f"complete as of {resource_version}")
        case Apply(deployment):
            image = orjson.loads(deployment.raw)["spec"]["template"]["spec"]["containers"][0]["image"]
            print(f"{deployment.namespace}/{deployment.name} runs {image}")
        case Delete(deployment):
            print(f"{deployment.namespace}/{deployment.name} is gone")


async def main() -> None:
    async with await Connection.open() as connection:  # in-cluster, else $KUBECONFIG, else ~/.kube/config
        writer = Writer(clock=time.monotonic)
        reflector = Reflector(
            transport=connection,
            resource=await discover(connection, "deployments"),
            writer=writer,
            clock=time.monotonic,
            sink=react,
        )
        reflecting = asyncio.create_task(reflector.run(), name="deployments")
        while not reflecting.done():  # it never ends by itself; an outage only makes it try again
            await asyncio.wait([reflecting], timeout=10)
            print(f"{len(writer.reader)} deployments, {writer.reader.phase}")
        await reflecting


if __name__ == "__main__":
    asyncio.run(main())
