"""What a client does on its sockets, written once for both kinds of waiting.

Steps are a generator that yields what a socket's method returned and is sent what came of it: with
pyzmq's plain sockets that is the same thing, with those for asyncio it is what the awaitable gives.
"""


def run(steps):
    """For plain sockets, which have waited already."""
    result = None
    try:
        while True:
            result = steps.send(result)
    except StopIteration as end:
        return end.value


async def run_async(steps):
    """For asyncio. What ends the waiting, a cancellation too, is raised within the steps."""
    result, error = None, None
    try:
        while True:
            waiting = steps.throw(error) if error is not None else steps.send(result)
            result, error = None, None
            try:
                result = await waiting
            except BaseException as raised:  # the steps' to handle, and they let it go on
                error = raised
    except StopIteration as end:
        return end.value
