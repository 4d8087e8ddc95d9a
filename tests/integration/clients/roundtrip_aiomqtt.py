"""Subscribes and publishes on one aiomqtt connection, and says what came back. Asked: host, port, user,
password, topic, stream, reader, count."""

import asyncio

import aiomqtt

from history import asked, delivered, digest, end_with_the_test, payload, say

want = asked()


async def main():
    login = {"username": want["user"], "password": want["password"]}
    async with aiomqtt.Client(want["host"], port=want["port"], timeout=10, **login) as client:
        await client.subscribe(want["topic"], qos=1)
        say("mark", what=f"{want['reader']} ready")
        for n in range(1, want["count"] + 1):
            data = payload(want["stream"], n)
            say("offered", stream=want["stream"], n=n, digest=digest(data))
            await client.publish(want["topic"], data, qos=1)
            say("acked", stream=want["stream"], n=n)
        left = want["count"]
        async for message in client.messages:
            delivered(want["reader"], message.payload)
            left -= 1
            if left == 0:
                break
    say("mark", what=f"{want['stream']} done")


end_with_the_test()
asyncio.run(main())
